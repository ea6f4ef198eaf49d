"""What rules cost: `python tests/bench_rules.py [objectives]`. Prints figures; judges nothing.

A real Prometheus evaluates our rules for so many objectives, another one the rules of Sloth's shape (`slo_shapes.sloth`) for
the same objectives, over the same page of bucket counters. A group's evaluation time is what Prometheus itself measured.
The history is as young as the run: with days of it, rates over raw series (theirs) grow dearer than sums of recorded ones (ours).
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import yaml

from alerts.build import render
from page import Page
from slo.catalogue import TTFT
from slo.spec import Spec, load
from slo_shapes import sloth
from stack import Prometheus, scrape

ROUNDS, PAUSE = 20, 1.5
BOUNDS = [round(0.1 * step, 1) for step in range(1, 11)]


def objectives(count: int) -> Spec:
    """So many objectives on the first tokens of as many pools."""
    pool = "node: {{gpu: H100-80GB, gpus: 2}}, nodes: {{min: 1, max: 2}}, timing: {{cold_start: 150s, warm_start: 5s, scale_in_hold: 300s}}"
    pools = "".join(f"  - {{name: p{i}, model: m{i}, {pool.format()}}}\n" for i in range(count))
    mine = "indicator: {time_to_first_token: 500ms}, target: 99%, window: 28d"
    return load(
        f"version: plimsoll/v1\npools:\n{pools}objectives:\n"
        + "".join(f"  - {{id: o{i}, pool: p{i}, {mine}}}\n" for i in range(count))
    )


def page(count: int, seconds: float) -> str:
    """Two replicas of each model: ten buckets and the count, growing with time."""
    lines = []
    for model in range(count):
        for replica in ("r1", "r2"):
            labels = f'replica="{replica}",model="m{model}",engine="vllm",rank="0"'
            lines += [f'{TTFT.bucket}{{{labels},le="{bound}"}} {seconds * bound * 10:.0f}' for bound in BOUNDS]
            lines.append(f"{TTFT.count}{{{labels}}} {seconds * 10:.0f}")
    return f"# TYPE {TTFT} untyped\n" + "\n".join(lines) + "\n"


def measure(rules: Path, count: int) -> list[float]:
    """Milliseconds of each of ROUNDS evaluations of all groups together."""
    shown, begun, found = Page(), time.monotonic(), []
    shown.text = page(count, 0)
    with shown.served() as address, Prometheus(scrape("plimsoll", address), rules=[rules]) as prometheus:
        for _ in range(ROUNDS + 5):
            time.sleep(PAUSE)
            shown.text = page(count, time.monotonic() - begun)
            groups = prometheus.rule_groups()
            found.append(1000 * sum(group["evaluationTime"] for group in groups))
        unwell = {rule["lastError"] for group in groups for rule in group["rules"] if rule["health"] == "err"}
    if unwell:
        sys.exit(f"rules fail: {unwell}")
    return found[5:]


def main() -> None:
    """Measure both, one after the other."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    spec = objectives(count)
    ours = yaml.safe_load(render(spec)["objectives.rules.yml"])
    medians = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, document in {"ours": ours, "Sloth's shape": sloth(spec)}.items():
            for group in document["groups"]:
                group["interval"] = "1s"
            path = Path(folder) / "rules.yml"
            path.write_text(yaml.safe_dump(document, width=10_000))
            times = measure(path, count)
            medians[name] = statistics.median(times)
            rules = sum(len(group["rules"]) for group in document["groups"])
            print(
                f"{name}: {count} objectives, {rules} rules: median {medians[name]:.0f} ms, slowest {max(times):.0f} ms"
            )
    ours_ms, theirs_ms = medians.values()
    print(f"ratio ours / Sloth's shape: {ours_ms / theirs_ms:.2f}")


if __name__ == "__main__":
    main()

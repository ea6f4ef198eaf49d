"""What rules cost: `python tests/benchmarks/bench_rules.py [objectives]`. Prints figures; evaluates nothing.

One real Prometheus holds three days of history (backfilled, a sample a minute) and evaluates, side by side, our rules for so many
objectives and rules of Sloth's shape (`slo_shapes`) for the same objectives over the same bucket counters. Evaluation time is what
Prometheus itself measured of each rule; a round is the sum over all groups of one shape.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from page import Page
from plimsoll.alerts.build import render
from plimsoll.slo.metrics import TTFT, recorded
from plimsoll.slo.spec.objectives import Spec, load
from slo_shapes import sloth
from stack import Prometheus, scrape, tool

ROUNDS, EVERY = 6, 15.0  # seconds between two rounds, over which Prometheus spreads the groups
HISTORY, STEP = 3 * 86400, 60  # seconds
RATE = 10.0  # requests a second and replica, of which 1 in 200 is late
INSTANCE = "node-a:9800"


def objectives(count: int) -> Spec:
    """So many objectives on the first tokens of as many pools."""
    pool = "node: {{gpu: H100-80GB, gpus: 2}}, nodes: {{min: 1, max: 2}}, timing: {{cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}"
    pools = "".join(f"  - {{name: p{i}, model: m{i}, {pool.format()}}}\n" for i in range(count))
    mine = "indicator: {time_to_first_token: 500ms}, target: 99%, window: 28d"
    return load(
        f"version: plimsoll/v1\npools:\n{pools}objectives:\n"
        + "".join(f"  - {{id: o{i}, pool: p{i}, {mine}}}\n" for i in range(count))
    )


def counters(count: int, seconds: float) -> Iterator[tuple[str, float]]:
    """Two replicas of each model: the bucket at the limit and the count, after so many seconds."""
    for model in range(count):
        for replica in ("r1", "r2"):
            labels = f'replica="{replica}",model="m{model}",engine="vllm",rank="0"'
            yield f'{TTFT.bucket}{{{labels},le="0.5"}}', int(seconds * RATE * 0.995)
            yield f"{TTFT.count}{{{labels}}}", int(seconds * RATE)


def history(count: int, begun: float) -> Iterator[str]:
    """OpenMetrics text: the raw counters, and the 5-minute series that ours and Sloth's would have recorded from them."""
    for step in range(HISTORY // STEP):
        at = begun - HISTORY + step * STEP
        for name, value in counters(count, step * STEP):
            yield f'{name[:-1]},job="plimsoll",instance="{INSTANCE}"}} {value} {at:.0f}\n'
        for i in range(count):
            own = f'{{objective="o{i}",pool="p{i}"}}'
            yield f"{recorded.GOOD_RATE}{own} {2 * RATE * 0.995} {at:.0f}\n{recorded.TOTAL_RATE}{own} {2 * RATE} {at:.0f}\n"
            yield f'slo:sli_error:ratio_rate5m{{sloth_id="o{i}"}} 0.005 {at:.0f}\n'
    yield "# EOF\n"


def durations(groups: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Milliseconds of the last evaluation, by shape and by name of the rule, over all objectives."""
    found: dict[str, dict[str, float]] = {}
    for group in groups:
        mine = found.setdefault("sloth" if group["name"].startswith("sloth-") else "ours", {})
        for rule in group["rules"]:
            mine[rule["name"]] = mine.get(rule["name"], 0.0) + 1000 * rule["evaluationTime"]
    return found


def main() -> None:
    """Measure all shapes in one run."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    spec, shown, begun = objectives(count), Page(), time.time()
    ours = yaml.safe_load(render(spec)["objectives.rules.yml"])
    documents = {"ours": ours, "sloth": sloth(spec)}
    with tempfile.TemporaryDirectory() as name, shown.served() as address:
        folder, paths = Path(name), []
        for shape, document in documents.items():
            groups = [group | {"interval": f"{EVERY:.0f}s"} for group in document["groups"]]
            paths.append(folder / f"{shape}.yml")
            paths[-1].write_text(yaml.safe_dump({"groups": groups}, width=10_000))
        prometheus = Prometheus(scrape("plimsoll", address, instance=INSTANCE), rules=paths, interval="5s")
        with (folder / "history").open("w") as file:
            file.writelines(history(count, begun))
        answer = tool(
            "promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "history", prometheus.folder / "data"
        )
        assert answer.returncode == 0, answer.stderr
        rounds = []
        with prometheus:
            for _ in range(ROUNDS + 1):
                page = counters(count, HISTORY + time.time() - begun)
                shown.text = f"# TYPE {TTFT} untyped\n" + "".join(f"{name} {value}\n" for name, value in page)
                time.sleep(EVERY)
                groups = prometheus.rule_groups()
                rounds.append(durations(groups))
            unwell = {rule.get("lastError", "") for group in groups for rule in group["rules"]} - {""}
        if unwell:
            sys.exit(f"rules fail: {unwell}")
    medians = {}
    for shape, document in documents.items():
        times = [sum(one[shape].values()) for one in rounds[1:]]
        medians[shape] = statistics.median(times)
        rules = sum(len(group["rules"]) for group in document["groups"])
        print(
            f"{shape}: {count} objectives, {rules} rules: median {medians[shape]:.0f} ms, slowest {max(times):.0f} ms"
        )
        dearest = sorted(((one, name) for name, one in rounds[-1][shape].items()), reverse=True)[:5]
        print("  dearest, last round:", ", ".join(f"{name} {one:.0f} ms" for one, name in dearest))
    print(f"ratio ours / Sloth's shape: {medians['ours'] / medians['sloth']:.2f}")


if __name__ == "__main__":
    main()

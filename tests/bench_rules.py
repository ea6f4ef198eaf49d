"""What rules cost: `python tests/bench_rules.py [objectives]`. Prints figures; judges nothing.

One real Prometheus holds three days of history (backfilled, a sample a minute) and evaluates, side by side, our rules for so many
objectives and rules of Sloth's and of Pyrra's shape (`slo_shapes`) for the same objectives over the same bucket counters. A
group's evaluation time is what Prometheus itself measured (`prometheus_rule_group_last_duration_seconds`); a round is the sum
over all groups of one shape.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import yaml

from alerts.build import render
from page import Page
from slo import series
from slo.catalogue import TTFT
from slo.spec import Spec, load
from slo_shapes import pyrra, sloth
from stack import Prometheus, scrape, tool

ROUNDS, EVERY = 20, 5.0  # seconds between two rounds
HISTORY, STEP = 3 * 86400, 60  # seconds
RATE = 10.0  # requests a second and replica, of which 1 in 200 is late
INSTANCE = "node-a:9800"
DURATION = "prometheus_rule_group_last_duration_seconds{"


def objectives(count: int) -> Spec:
    """So many objectives on the first tokens of as many pools."""
    pool = "node: {{gpu: H100-80GB, gpus: 2}}, nodes: {{min: 1, max: 2}}, timing: {{cold_start: 150s, warm_start: 5s, scale_in_hold: 300s}}"
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
            yield f"{series.GOOD_RATE}{own} {2 * RATE * 0.995} {at:.0f}\n{series.TOTAL_RATE}{own} {2 * RATE} {at:.0f}\n"
            yield f'slo:sli_error:ratio_rate5m{{sloth_id="o{i}"}} 0.005 {at:.0f}\n'
    yield "# EOF\n"


def durations(prometheus: Prometheus) -> dict[str, float]:
    """Milliseconds that the last evaluation of each shape's groups took, all together."""
    found: dict[str, float] = {}
    for line in httpx.get(f"{prometheus.url}/metrics", timeout=30).text.splitlines():
        if line.startswith(DURATION):
            shape = line.split(";")[-1].split("-")[0]
            found[shape] = found.get(shape, 0.0) + 1000 * float(line.split()[-1])
    return found


def main() -> None:
    """Measure all shapes in one run."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    spec, shown, begun = objectives(count), Page(), time.time()
    ours = yaml.safe_load(render(spec)["objectives.rules.yml"])
    documents = {"objective": ours, "sloth": sloth(spec), "pyrra": pyrra(spec)}
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
            for _ in range(ROUNDS + 3):
                page = counters(count, HISTORY + time.time() - begun)
                shown.text = f"# TYPE {TTFT} untyped\n" + "".join(f"{name} {value}\n" for name, value in page)
                time.sleep(EVERY)
                rounds.append(durations(prometheus))
            unwell = {rule["lastError"] for group in prometheus.rule_groups() for rule in group["rules"]} - {""}
        if unwell:
            sys.exit(f"rules fail: {unwell}")
    medians = {shape: statistics.median(one[shape] for one in rounds[3:]) for shape in documents}
    for shape, document in documents.items():
        rules = sum(len(group["rules"]) for group in document["groups"])
        slowest = max(one[shape] for one in rounds[3:])
        print(f"{shape}: {count} objectives, {rules} rules: median {medians[shape]:.0f} ms, slowest {slowest:.0f} ms")
    for shape in ("sloth", "pyrra"):
        print(f"ratio ours / {shape}'s shape: {medians['objective'] / medians[shape]:.2f}")


if __name__ == "__main__":
    main()

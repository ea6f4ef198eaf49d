"""Stragglers in simulated groups of GPUs with known truth: found within 15 minutes, and no ticket in a week without one.

Clocks follow what is known of real groups: silicon that differs by up to 4%, noise, load over the day, idle nights in which
clocks fall, a power cap by day, restarts, and short dips. promtool evaluates the generated rules on them.
"""

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from paths import ROOT
from plimsoll.alerts.build import render
from plimsoll.alerts.gpus.groups import SLOWER, WAITED_FOR
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import load
from promtool import Batch, only, run_batches, series
from stack import require

pytestmark = [pytest.mark.prometheus, pytest.mark.slow, pytest.mark.timeout(1800)]
RULES = render(load((ROOT / "slo" / "objectives.yaml").read_text()))
MINUTE, DAY, WEEK = 1, 1440, 7 * 1440
MAX, IDLE = 1980.0, 345.0  # MHz
CLOCKS = {recorded.GROUP_CLOCK, recorded.CLOCK_RATIO, recorded.CLOCK_BASELINE}
ACTIVITY = {recorded.GROUP_ACTIVITY, recorded.ACTIVITY_RATIO, recorded.ACTIVITY_BASELINE}
COMPUTING, SPINNING = 0.8, 0.12  # SMs active in a step's own work, and while waiting at a collective
# A drop of a GPU's clock, from minute to minute, as a fraction
Fault = tuple[int, int, float]


def busy(minute: int) -> float:
    """Kernel time of a group: idle for three hours of the night, and for ten minutes after a restart each day."""
    night = minute % DAY < 180
    return 0.02 if night or minute % DAY in range(700, 710) else 0.93


def clocks(gpu: int, minutes: int, chance: random.Random, faults: list[Fault]) -> list[float]:
    """SM clock of a GPU at each minute: a power cap by day that weaker silicon feels more, and noise."""
    silicon = 1 - 0.04 * chance.random()
    found = []
    for minute in range(minutes):
        if busy(minute) < 0.5:
            # Idle GPUs change their state at different minutes.
            found.append(IDLE if chance.random() < 0.9 else MAX)
            continue
        capped = 0.88 if 540 < minute % DAY < 1200 else 1.0
        value = MAX * capped * silicon * (1 + chance.gauss(0, 0.01))
        for start, end, drop in faults:
            if start <= minute < end:
                value *= 1 - drop
        found.append(min(MAX, 15 * round(value / 15)))
    return found


def activity(gpus: int, minutes: int, chance: random.Random, faults: dict[int, list[Fault]]) -> list[list[float]]:
    """SM activity of each GPU at each minute: all wait for the one whose own work takes longest. A fault slows a GPU's own work."""
    own = [1 - 0.03 * chance.random() for _ in range(gpus)]
    found: list[list[float]] = [[] for _ in range(gpus)]
    for minute in range(minutes):
        slowed = [
            max((drop for start, end, drop in faults.get(gpu, []) if start <= minute < end), default=0.0)
            for gpu in range(gpus)
        ]
        took = [seconds * (1 + chance.gauss(0, 0.005)) / (1 - slow) for seconds, slow in zip(own, slowed, strict=True)]
        step = max(took)
        for gpu, seconds in enumerate(took):
            active = (COMPUTING * seconds + SPINNING * (step - seconds)) / step
            found[gpu].append(busy(minute) * active * (1 + chance.gauss(0, 0.01)))
    return found


def group(
    node: str,
    minutes: int,
    seed: int,
    faults: dict[int, list[Fault]],
    gpus: int = 8,
    slow: dict[int, list[Fault]] | None = None,
) -> list[dict[str, str]]:
    """Input series of one replica's GPUs. `faults` lower a clock; `slow` slows a GPU's own work at the same clock."""
    chance = random.Random(seed)  # noqa: S311
    active = activity(gpus, minutes, random.Random(seed), slow or {})  # noqa: S311
    found = []
    for gpu in range(gpus):
        own = {"instance": f"{node}:9800", "uuid": f"GPU-{node}-{gpu}"}
        sm = clocks(gpu, minutes, chance, faults.get(gpu, []))
        rows: dict[tuple[c.Metric, tuple[tuple[str, str], ...]], list[float] | float] = {
            (c.GPU_CLOCK, (("domain", "sm"),)): sm,
            (c.GPU_CLOCK, (("domain", "memory"),)): 2619.0,
            (c.GPU_SM_ACTIVE, ()): active[gpu],
            (c.GPU_BUSY, ()): [busy(minute) for minute in range(minutes)],
            (c.GPU_POWER, ()): [690.0 if clock < 0.95 * MAX else 620.0 for clock in sm],
            (c.GPU_POWER_LIMIT, ()): 700.0,
            (c.GPU_INFO, (("name", "NVIDIA H100"),)): 1.0,
            (c.GPU_ASSIGNMENT, (("replica", "r"), ("model", "m"))): 1.0,
        }
        for (metric, labels), values in rows.items():
            text = f"{values:g}x{minutes}" if isinstance(values, float) else " ".join(f"{one:g}" for one in values)
            found.append({"series": series(metric.name, {**own, **dict(labels)}), "values": text})
    return found


def rules() -> str:
    """The recording rules of clocks and activity and their alerts, evaluated once a minute."""
    names = {*CLOCKS, *ACTIVITY, SLOWER, WAITED_FOR}
    files = [yaml.safe_load(only(RULES[f"{name}.rules.yml"], names)) for name in ("fleet", "health")]
    found = [one for file in files for one in file["groups"] if one["rules"]]
    groups = [one | {"interval": "4m" if one["name"] == "gpu-baselines" else "1m"} for one in found]
    return yaml.safe_dump({"groups": groups}, width=10_000)


def firing(minute: int, uuids: list[str], name: str = SLOWER) -> dict[str, Any]:
    """Check which GPUs have the ticket at a minute."""
    alerts = f'ALERTS{{alertname="{name}",alertstate="firing"}}'
    samples = [{"labels": f'{{uuid="{uuid}"}}', "value": 1} for uuid in uuids]
    return {"expr": f"group by (uuid) ({alerts})", "eval_time": f"{minute}m", "exp_samples": samples}


def never(minutes: int) -> dict[str, Any]:
    """Check that no GPU had a ticket at any minute."""
    alerts = f'count_over_time(ALERTS{{alertname=~"{SLOWER}|{WAITED_FOR}",alertstate="firing"}}[{minutes}m])'
    return {"expr": alerts, "eval_time": f"{minutes}m", "exp_samples": []}


def check(folder: Path, inputs: list[dict[str, str]], checks: list[dict[str, Any]]) -> None:
    test = {"interval": "1m", "input_series": inputs, "promql_expr_test": checks}
    run_batches(folder, [Batch(rules(), [test], "1m")], [require("promtool")])


def test_a_week_of_healthy_groups_raises_no_ticket(tmp_path: Path) -> None:
    inputs = [
        *group("a", WEEK, 1, {}),
        # Dips of three minutes, such as a hot spot of one rack, are no reason to write a ticket.
        *group("b", WEEK, 11, {3: [(start, start + 3, 0.2) for start in range(300, WEEK, 700)]}, gpus=4),
        *group("c", WEEK, 21, {}, gpus=2, slow={1: [(start, start + 3, 0.2) for start in range(300, WEEK, 700)]}),
    ]
    check(tmp_path, inputs, [never(WEEK)])


START = DAY + 500


@pytest.mark.parametrize(
    ("drop", "gpus"),
    [(0.15, 8), (0.15, 2), (0.10, 8), (0.40, 4)],
    ids=["15%", "15% of two", "10% against its past", "40%"],
)
def test_a_straggler_is_named_within_15_minutes_and_no_fellow_is(tmp_path: Path, drop: float, gpus: int) -> None:
    inputs = [
        *group("a", START + 60, 5, {1: [(START, START + 60, drop)]}, gpus),
        *group("b", START + 60, 6, {}, gpus),
    ]
    check(tmp_path, inputs, [firing(START - 1, []), firing(START + 15, ["GPU-a-1"]), firing(START + 55, ["GPU-a-1"])])


def test_a_straggler_that_recovers_loses_its_ticket(tmp_path: Path) -> None:
    inputs = group("a", START + 60, 5, {1: [(START, START + 30, 0.2)]})
    check(tmp_path, inputs, [firing(START + 15, ["GPU-a-1"]), firing(START + 45, [])])


@pytest.mark.parametrize(("drop", "gpus"), [(0.12, 8), (0.16, 2), (0.30, 4)], ids=["12% of eight", "16% of two", "30%"])
def test_the_gpu_that_its_group_waits_for_is_named_at_its_usual_clock(tmp_path: Path, drop: float, gpus: int) -> None:
    inputs = group("a", START + 60, 5, {}, gpus, {1: [(START, START + 60, drop)]})
    checks = [firing(START - 1, [], WAITED_FOR), firing(START + 15, ["GPU-a-1"], WAITED_FOR), firing(START + 15, [])]
    check(tmp_path, inputs, checks)


def test_a_group_that_waits_little_raises_no_ticket(tmp_path: Path) -> None:
    inputs = group("a", START + 60, 5, {}, 8, {1: [(START, START + 60, 0.05)]})
    check(tmp_path, inputs, [firing(START + 15, [], WAITED_FOR), firing(START + 55, [], WAITED_FOR)])

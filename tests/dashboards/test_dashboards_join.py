"""GPUs shown for the chosen replicas, by promtool: by assignment where it is known, otherwise by node."""

from pathlib import Path
from typing import Any

import pytest

from plimsoll.dashboards import queries
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics.recorded import LAST_INFO
from promql import substitute
from promtool import case, run_cases, series

pytestmark = pytest.mark.prometheus

REPLICAS = {"r1": "a:9800", "r2": "a:9800", "r3": "b:9800"}  # two share a node
ASSIGNED = {"GPU-1": "r1", "GPU-2": "r2", "GPU-4": "r3"}
GPUS = {"GPU-1": "a:9800", "GPU-2": "a:9800", "GPU-3": "a:9800", "GPU-4": "b:9800", "GPU-5": "c:9800"}


def always(name: str, **labels: str) -> dict[str, str]:
    return {"series": series(name, labels), "values": "1x10"}


WORLD = [
    *(always(LAST_INFO, instance=instance, replica=replica, model="m") for replica, instance in REPLICAS.items()),
    *(
        always(c.GPU_ASSIGNMENT.name, instance=GPUS[uuid], uuid=uuid, replica=replica, model="m")
        for uuid, replica in ASSIGNED.items()
    ),
    *(always(c.GPU_UP.name, instance=instance, uuid=uuid) for uuid, instance in GPUS.items()),
]


def shows(uuids: set[str], **chosen: str) -> dict[str, Any]:
    expected = [{"labels": series(c.GPU_UP.name, {"instance": GPUS[uuid], "uuid": uuid}), "value": 1} for uuid in uuids]
    return {"expr": substitute(queries.gpus_up(), **chosen), "eval_time": "5m", "exp_samples": expected}


def test_a_chosen_replica_shows_its_gpus_and_unassigned_ones(tmp_path: Path) -> None:
    cases = [
        case("all", WORLD, shows(set(GPUS))),
        # GPU-3 has no known replica, and node c reports no assignment: both stay visible.
        case("one of two on a node", WORLD, shows({"GPU-1", "GPU-3", "GPU-5"}, replica="r1")),
        case("alone on its node", WORLD, shows({"GPU-4", "GPU-5"}, replica="r3")),
        case("another model", WORLD, shows({"GPU-5"}, model="other")),
    ]
    run_cases(tmp_path, "groups: []\n", cases)

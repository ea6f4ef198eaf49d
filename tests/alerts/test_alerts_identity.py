"""A problem that stays keeps its alert, with the same labels, for days; what is removed on purpose is forgotten."""

from pathlib import Path

import pytest

from healthy_fleet import Fleet
from paths import OBJECTIVES
from plimsoll.alerts.build import render
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics.recorded import LAST_EXPORTER, LAST_INFO
from plimsoll.slo.spec.objectives import load
from promtool import Batch, case, is_absent, is_value, only, run_batches

pytestmark = pytest.mark.prometheus
RULES = only(
    render(load(OBJECTIVES.read_text()))["health.rules.yml"],
    {"LLMReplicaDown", "PlimsollExporterDown", LAST_INFO, LAST_EXPORTER},
)
DAYS = 3000  # minutes: two days and a bit
HOURS = (2, 23, 25, 26, 49)
FIRING = 'count(ALERTS{alertname="%s",alertstate="firing",pool="chat-70b",instance="n2:9800"})'
ANY = 'count(ALERTS{alertname="%s",alertstate="firing"})'


def down(metric: object, but: tuple[str, ...]) -> Fleet:
    fleet = Fleet(2, DAYS)
    fleet.vanish(2, 60, but=but)
    fleet.set(f"1x59 0x{DAYS - 60}", metric, instance="n2:9800")
    return fleet


def test_a_problem_that_stays_keeps_its_alert_and_labels_for_days(tmp_path: Path) -> None:
    exporter, replica = ("up", str(c.COLLECTOR_SUCCESS)), str(c.REPLICA_UP)
    cases = [
        case(
            name,
            fleet.series,
            *(is_value(query % alert, 60 * hour, 1) for hour in HOURS for query in (FIRING, ANY)),
        )
        for name, alert, fleet in (
            ("replica", "LLMReplicaDown", down(replica, (*exporter, replica))),
            ("exporter", "PlimsollExporterDown", down("up", ("up",))),
        )
    ]
    run_batches(tmp_path, [Batch(RULES, cases, "2m")])


def test_what_is_removed_on_purpose_is_forgotten(tmp_path: Path) -> None:
    """A target that is no longer scraped, and a replica that its exporter no longer lists."""
    fleet = Fleet(3, 400)
    fleet.vanish(2, 60, but=("up",))
    fleet.set("1x59 0x120", "up", instance="n2:9800")
    fleet.vanish(3, 60, but=("up", str(c.COLLECTOR_SUCCESS)))
    remembered = f'{LAST_INFO}{{instance="n3:9800"}}'
    check = case(
        "removed",
        fleet.series,
        is_value(ANY % "PlimsollExporterDown", 170, 1),
        is_absent(ANY % "PlimsollExporterDown", 200),
        is_absent(remembered, 80),
        is_absent(ANY % "LLMReplicaDown", 200),
    )
    run_batches(tmp_path, [Batch(RULES, [check], "2m")])

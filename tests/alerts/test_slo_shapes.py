"""Where rules of Sloth's and Pyrra's shape are wrong and ours are right, on the same series (facts: research, 2.6), run by promtool."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from plimsoll.alerts.build import render
from plimsoll.slo.metrics import PROGRESS_TOKENS, REQUESTS_RUNNING, REQUESTS_WAITING, recorded
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.spec.objectives import load
from promtool import case, fires, is_value, requests, run_cases, series, silent
from slo_shapes import pyrra, sloth
from spec_texts import one_pool

SPEC = load(
    one_pool(
        "id: low, indicator: availability, target: 90%, window: 28d",
        "id: high, indicator: availability, target: 99.9%, window: 28d",
    )
)
OURS = render(SPEC)
COUNTING = countings(SPEC.objective("high"), SPEC.pool("chat"))[0]
THEIR_28_DAYS = 'slo:sli_error:ratio_rate28d{sloth_id="high"}'
OUR_6_HOURS = f'{recorded.burn_rate(6 * 3600)}{{objective="high"}} * 0.001'

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]


def rules(*names: str) -> str:
    """Ours, Sloth's and Pyrra's for the same objectives, and those of our health rules that are named."""
    health = [
        group | {"rules": [rule for rule in group["rules"] if rule.get("alert") in names]}
        for group in yaml.safe_load(OURS["health.rules.yml"])["groups"]
    ]
    ours = yaml.safe_load(OURS["objectives.rules.yml"])["groups"]
    groups = [*ours, *sloth(SPEC)["groups"], *pyrra(SPEC)["groups"], *health]
    return yaml.safe_dump({"groups": groups}, width=10_000)


def page(alertname: str, **labels: str) -> dict[str, str]:
    return {"alertname": alertname, "severity": "page", **labels}


def share(expr: str, at: float, value: float) -> dict[str, Any]:
    return is_value(f"round(sum({expr}), 0.01)", at, value)


def test_a_bad_hour_at_the_peak_weighs_by_its_requests(tmp_path: Path) -> None:
    """Half of 72,000 requests fail in an hour at the peak, none of 9,000 in five quiet ones: 44 %. A mean of ratios would be 9 %."""
    day = requests(COUNTING, (60, 600, 600), (300, 30, 0))
    checks = (share(OUR_6_HOURS, 359, 0.44), share(THEIR_28_DAYS, 359, 0.09))
    run_cases(tmp_path, rules(), [case("peak", day, *checks)])


def test_an_idle_hour_changes_nothing(tmp_path: Path) -> None:
    """Theirs is not a number for the 28 days in which the idle hour is remembered."""
    day = requests(COUNTING, (60, 540, 60), (60, 0, 0), (60, 540, 60))
    unknown = is_value(f"count({THEIR_28_DAYS} != {THEIR_28_DAYS})", 179, 1)
    run_cases(tmp_path, rules(), [case("idle", day, share(OUR_6_HOURS, 179, 0.1), unknown)])


def test_a_total_outage_at_90_percent_pages_within_the_hour_and_not_after_three(tmp_path: Path) -> None:
    outage = requests(COUNTING, (420, 600, 0), (240, 0, 600))
    checks = (
        fires(420 + 50, **page("SLOErrorBudgetBurn", objective="low", tier="page-fast")),
        *(silent(420 + minute, **page("SlothBurn", sloth_id="low")) for minute in (50, 120, 180)),
        fires(420 + 225, **page("SlothBurn", sloth_id="low")),
    )
    run_cases(tmp_path, rules(), [case("outage", outage, *checks)])


def test_one_failed_request_of_ten_per_hour_does_not_page(tmp_path: Path) -> None:
    night = requests(COUNTING, (360, 1 / 6, 0), (1, 0, 1), (30, 1 / 6, 0))
    checks = (
        fires(364, **page("SlothBurn", sloth_id="high")),
        fires(364, **page("PyrraBurn", slo="high", short="5m")),
        *(silent(360 + minute, **page("SLOErrorBudgetBurn")) for minute in range(1, 30)),
    )
    run_cases(tmp_path, rules(), [case("night", night, *checks)])


def test_an_engine_that_stalls_pages_though_no_ratio_and_no_absence_shows_it(tmp_path: Path) -> None:
    labels = {"instance": "node-a:9800", "replica": "r1", "model": "m", "engine": "vllm", "rank": "0"}
    stalled = [
        *requests(COUNTING, (60, 100, 0), (60, 0, 0)),
        {"series": series(REQUESTS_RUNNING.name, labels), "values": "8x120"},
        {"series": series(REQUESTS_WAITING.name, labels), "values": "0x120"},
        {"series": series(PROGRESS_TOKENS.name, labels), "values": "0+6000x60 360000x60"},
    ]
    checks = (
        fires(66, **page("LLMReplicaStalled")),
        *(silent(60 + minute, **page(name)) for name in ("SlothBurn", "PyrraBurn") for minute in (5, 30, 59)),
    )
    run_cases(tmp_path, rules("LLMReplicaStalled"), [case("stall", stalled, *checks)])

"""A burn that an outage caused doesn't page again when the outage ends; one that goes on does, within its own tier's time."""

from pathlib import Path
from typing import Any

import pytest

from plimsoll.alerts.build import render
from plimsoll.slo.metrics import recorded
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.spec.objectives import load
from promtool import case, fires, only, requests, run_cases, silent
from spec_texts import one_pool

SPEC = load(one_pool("id: up, indicator: availability, target: 99.9%, window: 28d"))
UP = SPEC.objective("up")
RULES = "groups:\n" + "".join(
    render(SPEC)[f"{name}.rules.yml"].partition("groups:\n")[2] for name in ("objectives", "health")
)
READ = {
    *(recorded.burn_rate(minutes * 60) for minutes in (5, 30, 60, 360)),
    *(recorded.bad_requests(minutes * 60) for minutes in (5, 60, 360)),
}
PAGES = {"SLOOutage", "SLOErrorBudgetBurn", recorded.IMPACT_AGE}
BURN = {"alertname": "SLOErrorBudgetBurn", "severity": "page"}
OUTAGE = {"alertname": "SLOOutage", "severity": "page"}
BEGINS, LASTS = 90, 30  # minutes

pytestmark = pytest.mark.prometheus


def traffic(*parts: tuple[float, float]) -> list[dict[str, str]]:
    """600 requests a minute, from (minutes, ratio of bad ones)."""
    counting = countings(UP, SPEC.pool("chat"))[0]
    return requests(counting, *((minutes, 600 * (1 - bad), 600 * bad) for minutes, bad in parts))


def never_burns(begin: int, end: int) -> list[dict[str, Any]]:
    return [silent(minute, **BURN) for minute in range(begin, end)]


def test_an_outage_that_ends_is_one_page_and_what_continues_after_it_pages_too(tmp_path: Path) -> None:
    end = BEGINS + LASTS
    ended = [
        case(
            f"{bad:.0%} bad for half an hour",
            traffic((BEGINS, 0.0), (LASTS, bad), (90, 0.0)),
            fires(BEGINS + 5, **OUTAGE),
            silent(end + 6, **OUTAGE),
            *never_burns(BEGINS, end + 80),
        )
        for bad in (0.5, 1.0)
    ]
    # Below 40 % bad in five minutes after 4, and without the outage's time after 9: four minutes more for the evaluation's steps.
    goes_on = case(
        "all bad, then a fifth",
        traffic((BEGINS, 0.0), (LASTS, 1.0), (90, 0.2)),
        silent(end + 5, **OUTAGE),
        *never_burns(BEGINS, end + 5),
        *(fires(minute, tier="page-fast", **BURN) for minute in range(end + 13, end + 50, 5)),
    )
    rates = {recorded.GOOD_RATE, recorded.TOTAL_RATE, recorded.TARGET}
    run_cases(tmp_path, only(RULES, {*rates, *READ, *PAGES}), [*ended, goes_on])


def test_a_burn_that_begins_with_the_outage_is_over_with_it_and_one_well_before_continues(tmp_path: Path) -> None:
    """The recorded series themselves, so that both alerts begin in one evaluation."""

    def given(burning: str, outage: str) -> list[dict[str, str]]:
        own = '{objective="up",pool="chat"}'
        short, long = (recorded.burn_rate(seconds) + own for seconds in (300, 3600))
        counted = [{"series": recorded.bad_requests(seconds) + own, "values": "1000x90"} for seconds in (300, 3600)]
        return [{"series": long, "values": burning}, {"series": short, "values": outage}, *counted]

    cases = [
        case(
            "together",
            given("0x29 100x60", "0x29 500x19 30x5 0x30"),
            fires(40, **OUTAGE),
            *never_burns(31, 89),
        ),
        case(
            "five minutes before",
            given("0x24 100x60", "0x24 30x4 500x19 30x20"),
            *(fires(minute, tier="page-fast", **BURN) for minute in range(26, 60, 3)),
            fires(40, **OUTAGE),
        ),
    ]
    run_cases(tmp_path, only(RULES, PAGES), cases)

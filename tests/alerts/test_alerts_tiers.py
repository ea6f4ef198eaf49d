"""What burn-rate alerts guarantee for every window and target: by arithmetic for all, by the real promtool over a grid."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from plimsoll.alerts.build import render
from plimsoll.slo.calendar import DAY, HOUR
from plimsoll.slo.error_budget.burn_rate import LEAST, OUTAGE, REACHABLE, alerts
from plimsoll.slo.metrics import recorded
from plimsoll.slo.sli.evidence import Way, countings
from plimsoll.slo.spec.objectives import Objective, Spec, load
from promtool import Batch, case, fires, is_absent, is_value, only, requests, run_batches, silent

WINDOWS = st.integers(int(HOUR), int(365 * DAY)).map(float)
BUDGETS = st.integers(1, 5000).map(lambda n: n / 10_000)  # targets from 99.99 % to 50 %


@given(WINDOWS, BUDGETS)
def test_a_budget_consumed_at_its_own_rate_never_alerts_and_twice_that_rate_opens_a_ticket_in_time(
    window: float, budget: float
) -> None:
    found = alerts(window, budget)
    for tier in found:
        assert tier.detection_seconds(budget, budget) is None
        assert tier.max_bad_ratio(budget) <= REACHABLE + 1e-9
        assert max(tier.short, 180.0) <= tier.long < window
    pages = [tier.threshold for tier in found if tier.severity == "page"]
    assert min(pages) >= min(LEAST["page"], 1.2, REACHABLE / budget)
    tickets = [tier.detection_seconds(budget, 2 * budget) for tier in found if tier.severity == "ticket"]
    assert min(seconds for seconds in tickets if seconds is not None) < window / 2


@given(WINDOWS, BUDGETS)
def test_a_total_outage_is_seen_within_two_minutes_and_half_of_one_within_four(window: float, budget: float) -> None:
    outage = alerts(window, budget)[0]
    assert outage.tier == OUTAGE
    assert outage.detection_seconds(budget, 1.0) == pytest.approx(120 if budget <= 0.3 else 108)
    half = outage.detection_seconds(budget, 0.5)
    assert half == pytest.approx(240) if budget <= 0.3 else half is None


GRID_WINDOWS = ("1h", "6h", "3d", "28d", "365d")
GRID_TARGETS = ("50%", "70%", "95%", "99.9%", "99.99%")
QUIET = 90.0  # minutes before anything happens


def world(window: str) -> Spec:
    objectives = "".join(
        f"  - {{id: t{index}, pool: chat, indicator: availability, target: {target}, window: {window}}}\n"
        for index, target in enumerate(GRID_TARGETS)
    )
    return load(
        "version: plimsoll/v1\npools:\n  - {name: chat, model: m, node: {gpu: H100-80GB, gpus: 2}, "
        "nodes: {min: 1, max: 2}, timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}\n"
        f"objectives:\n{objectives}"
    )


def batch(spec: Spec, one: Objective, severity: str, cases: list[dict[str, Any]]) -> Batch:
    """promtool evaluates every rule in every case: only those of one SLO and severity are given."""
    text = render(structs.replace(spec, objectives=(one,)))["objectives.rules.yml"]
    mine = [tier for tier in alerts(one.window.seconds, one.budget_ratio) if tier.severity == severity]
    read = {recorded.burn_rate(window) for tier in mine for window in (tier.long, tier.short)}
    read |= {name(tier.long) for tier in mine for name in (recorded.bad_requests, recorded.requests)}
    names = {recorded.GOOD_RATE, recorded.TOTAL_RATE, recorded.TARGET, *read, "SLOOutage", "SLOErrorBudgetBurn"}
    return Batch(only(text, names), cases)


def shapes(one: Objective, counting: Way, rate: float) -> list[dict[str, Any]]:
    """A total outage, half of one, and a target met exactly in the shape of a day, at `rate` requests a minute."""

    def at(share: float, minutes: float, rate: float = rate) -> tuple[float, float, float]:
        return minutes, rate * (1 - share), rate * share

    pages = {"objective": one.id, "severity": "page"}
    bad = [(1.0, 3.0)] + ([(0.5, 10.0)] if one.budget_ratio <= 0.3 else [])
    met = one.budget_ratio
    day = [at(met, 40), at(met, 20, rate / 10), at(met, 40, rate * 3), (15.0, 0.0, 0.0), at(met, 40)]
    return [
        *(
            case(
                f"{share:.0%} of {rate:g} a minute bad",
                requests(counting, at(0, QUIET), at(share, 15)),
                silent(QUIET, **pages),
                fires(QUIET + minutes, alertname="SLOOutage", **pages),
            )
            for share, minutes in bad
        ),
        case(
            f"{rate:g} a minute, the target met exactly",
            requests(counting, *day),
            *(silent(minute, objective=one.id, severity="page") for minute in range(5, 155, 5)),
        ),
    ]


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.parametrize("window", GRID_WINDOWS)
def test_what_a_window_guarantees_at_every_target(window: str, tmp_path: Path) -> None:
    spec, batches = world(window), []
    for one in spec.objectives:
        counting = countings(one, spec.pool("chat"))[0]
        rare = requests(counting, (QUIET, 5 / 60, 0.0), (1, 0.0, 1.0), (60, 5 / 60, 0.0))
        single = case(
            "five an hour, one bad",
            rare,
            *(silent(QUIET + at, objective=one.id, severity="page") for at in range(1, 60, 3)),
        )
        batches.append(batch(spec, one, "page", [single, *shapes(one, counting, 10.0), *shapes(one, counting, 600.0)]))
    run_batches(tmp_path, batches)


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.parametrize(("window", "minutes"), [("1h", 60), ("6h", 360), ("1d", 1440)])
def test_twice_the_budgets_rate_opens_a_ticket_before_half_of_the_window(
    window: str, minutes: int, tmp_path: Path
) -> None:
    spec, batches = world(window), []
    for one in spec.objectives:
        half, twice = (min(1.0, times * one.budget_ratio) for times in (0.5, 2.0))
        counts = [(float(minutes), 6000 * (1 - bad), 6000 * bad) for bad in (half, twice)]
        ticket = f'count(count by (objective) (ALERTS{{objective="{one.id}",severity="ticket",alertstate="firing"}}))'
        burning = case(
            one.id,
            requests(countings(one, spec.pool("chat"))[0], *counts),
            is_absent(ticket, minutes),
            is_value(ticket, minutes + minutes // 2, 1),
        )
        batches.append(batch(spec, one, "ticket", [burning]))
    run_batches(tmp_path, batches)

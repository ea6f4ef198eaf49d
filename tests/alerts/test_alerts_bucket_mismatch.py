"""Rules of SLOs whose threshold isn't a bucket boundary, run by the real promtool: what counts as good, and which severity fires."""

from pathlib import Path
from typing import Any

import pytest

from plimsoll.alerts.build import render
from plimsoll.slo.error_budget import burn_rate as burn
from plimsoll.slo.metrics import GENERATION_LENGTH, TPOT, TTFT
from plimsoll.slo.metrics.recorded import GOOD_RATE, GOOD_UPPER_BOUND, TARGET, TOTAL_RATE, bad_requests, burn_rate
from plimsoll.slo.metrics.recorded import requests as series_of_requests
from plimsoll.slo.spec.objectives import load
from promtool import Batch, case, counter, fires, is_absent, is_value, only, run_batches, run_cases, series, silent
from recording_cases import END, R1, R2, count, evaluated, ttft
from spec_texts import one_pool

SPEC = load(
    one_pool(
        "id: rejected, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d",
        "id: lower, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d, bucket_mismatch: lower_bound",
        "id: both, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d, bucket_mismatch: bounds",
        "id: tpot, indicator: {time_per_output_token: 40ms}, target: 95%, window: 28d, bucket_mismatch: bounds",
    )
)
R3 = R1 | {"replica": "r3"}

pytestmark = pytest.mark.prometheus


def recorded(objective: str, good: float, total: float, most: float | None = None) -> list[dict[str, Any]]:
    """Requests a minute that are recorded as good, in total, and as good at most: only of a has_bounds objective."""
    values = {GOOD_RATE: good, TOTAL_RATE: total, GOOD_UPPER_BOUND: most}
    labels = f'{{objective="{objective}",pool="chat"}}'
    return [
        is_absent(name + labels, END)
        if value is None
        else is_value(f"round(60 * sum({name}{labels}), 0.01)", END, value)
        for name, value in values.items()
    ]


def unknown(objective: str) -> list[dict[str, Any]]:
    names = (GOOD_RATE, GOOD_UPPER_BOUND, TOTAL_RATE, burn_rate(300), burn_rate(300, lower_bound=True))
    return [is_absent(f'{name}{{objective="{objective}"}}', END) for name in names]


def test_each_replica_is_counted_by_its_own_bounds_around_the_limit(tmp_path: Path) -> None:
    around = ttft(R1, 100, b0p25=20, b0p5=70, b0p75=90, b1p0=95)
    wider = ttft(R2, 100, b0p1=40, b0p5=50, b0p6=60, b2p5=100)  # the limit is a bound of this one
    engine = [*evaluated(R3, "lower", 8, 2), *evaluated(R3, "both", 8, 2), *ttft(R3, 10, b0p5=1, b0p75=9)]
    cases = [
        case("around", around, *recorded("lower", 70, 100), *recorded("both", 70, 100, most=90), *unknown("rejected")),
        case(
            "a mixed fleet",
            [*around, *wider, *engine],
            *recorded("lower", 70 + 60 + 8, 210),
            *recorded("both", 70 + 60 + 8, 210, most=90 + 60 + 8),
            *recorded("rejected", 60, 100),
        ),
        case(
            "ranks add up before the bounds are chosen",
            [*around, *ttft(R1 | {"rank": "1"}, 50, b0p25=10, b0p5=30, b0p75=40, b1p0=50)],
            *recorded("both", 100, 150, most=130),
        ),
    ]
    run_cases(tmp_path, render(SPEC)["objectives.rules.yml"], cases)


def test_without_a_bound_on_a_side_the_result_is_unknown_or_open(tmp_path: Path) -> None:
    infinite = count(TTFT.bucket, R1, 100, le="+Inf")
    cases = [
        case("no bound below", [*ttft(R1, 100, b1p0=95), infinite], *unknown("lower"), *recorded("both", 0, 100, 95)),
        case("none above", [*ttft(R1, 100, b0p5=70), infinite], *recorded("both", 70, 100, most=100)),
        case("none at all", [*ttft(R1, 100), infinite], *unknown("lower"), *unknown("both")),
    ]
    run_cases(tmp_path, render(SPEC)["objectives.rules.yml"], cases)


def test_requests_of_a_single_token_are_taken_off_both_edges_and_not_off_nothing(tmp_path: Path) -> None:
    """Engines record them with a time per token of 0, so they are within every bound."""
    single = count(GENERATION_LENGTH.bucket, R1, 30, le="1.0")
    total = [count(TPOT.count, R1, 100), single]
    below, above = count(TPOT.bucket, R1, 80, le="0.025"), count(TPOT.bucket, R1, 90, le="0.05")
    cases = [
        case("both", [*total, below, above], *recorded("tpot", 50, 70, most=60)),
        case("no bound below", [*total, above], *recorded("tpot", 0, 70, most=60)),
    ]
    run_cases(tmp_path, render(SPEC)["objectives.rules.yml"], cases)


BEFORE, INCIDENT = 120, 90  # minutes


def traffic(sure: float, most: float) -> list[dict[str, str]]:
    """Good traffic for two hours, then an incident in which these ratios of 600 requests/min are good, and good or indeterminate."""
    values = {"0.5": sure, "0.75": most, "+Inf": 1.0}
    found = [
        {"series": series(TTFT.bucket, R1 | {"le": le}), "values": counter((BEFORE, 600), (INCIDENT, 600 * share))}
        for le, share in values.items()
    ]
    return [*found, {"series": series(TTFT.count, R1), "values": counter((BEFORE + INCIDENT, 600))}]


def test_a_page_counts_confirmed_bad_requests_and_a_ticket_indeterminate_ones_too(tmp_path: Path) -> None:
    """A page is due at a burn of 13.44 in an hour (67.2 % bad at 95 %), a ticket at 2.8 in a day."""
    text = render(SPEC)["objectives.rules.yml"]
    tiers = {tier.tier: tier for tier in burn.tiers(28 * 86400, 0.05)}
    at = BEFORE + INCIDENT - 5
    batches = []
    for name, every, cases in (
        (
            "page-fast",
            "1m",
            [
                case("nothing is confirmed bad", traffic(0.0, 1.0), silent(at, objective="both", tier="page-fast")),
                case("just under", traffic(0.0, 0.35), silent(at, objective="both", tier="page-fast")),
                case("just over", traffic(0.0, 0.31), fires(at, objective="both", tier="page-fast", severity="page")),
                case("lower_bound", traffic(0.0, 1.0), fires(at, objective="lower", tier="page-fast")),
            ],
        ),
        (
            "ticket-fast",
            "5m",
            [
                case("nothing is confirmed bad", traffic(0.0, 1.0), fires(at, objective="both", tier="ticket-fast")),
                case("everything is good", traffic(1.0, 1.0), silent(at, objective="both", tier="ticket-fast")),
            ],
        ),
    ):
        tier = tiers[name]
        read = {name(*args) for name in (burn_rate, bad_requests) for args in ((tier.long,), (tier.long, True))}
        read |= {
            burn_rate(tier.short),
            burn_rate(tier.short, lower_bound=True),
            GOOD_RATE,
            GOOD_UPPER_BOUND,
            TOTAL_RATE,
            TARGET,
            series_of_requests(tier.long),
        }
        batches.append(Batch(only(text, {*read, "SLOErrorBudgetBurn"}, name), cases, every))
    run_batches(tmp_path, batches)


def test_an_alert_states_whether_it_counts_indeterminate_requests() -> None:
    text = render(SPEC)["objectives.rules.yml"]
    for tier, counted in {"page-fast": "confirmed bad", "ticket-fast": "bad or indeterminate"}.items():
        rules = only(text, {"SLOErrorBudgetBurn"}, tier)
        assert rules.count(f"of requests were {counted} in") == 2  # both and tpot
        assert rules.count("of requests were bad in") == 2
        assert rules.count("Error budget remaining (lower bound): ") == 2

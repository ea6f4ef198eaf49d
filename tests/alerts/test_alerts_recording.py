"""What the recorded series count, run by the real promtool: each replica by its best evidence, and nothing twice."""

from pathlib import Path
from typing import Any

import pytest

from plimsoll.alerts.build import render
from plimsoll.slo.metrics import ABANDONED, FINISHED, GENERATION_LENGTH, OBJECTIVE_REQUESTS, REJECTED, TPOT
from plimsoll.slo.metrics.recorded import GOOD_RATE, TOTAL_RATE, bad_requests, burn_rate
from plimsoll.slo.spec.objectives import load
from promtool import case, counter, is_absent, is_value, run_cases, series
from recording_cases import END, R1, R2, count, evaluated, ttft
from spec_texts import one_pool

SPEC = load(
    one_pool(
        "id: quick, indicator: {time_to_first_token: 500ms}, target: 95%, window: 28d",
        "id: slower, indicator: {time_to_first_token: 1s}, target: 99%, window: 28d",
        "id: tpot, indicator: {time_per_output_token: 40ms}, target: 95%, window: 28d",
        "id: up, indicator: availability, target: 99%, window: 28d",
    )
)
UNRANKED = {name: value for name, value in R1.items() if name != "rank"}

pytestmark = pytest.mark.prometheus


def counted(objective: str, good: float, total: float) -> list[dict[str, Any]]:
    """Requests a minute that are recorded as good and in total. (Rounded: rates are sums of floats.)"""
    return [
        is_value(f'round(60 * sum({name}{{objective="{objective}",pool="chat"}}), 0.01)', END, value)
        for name, value in ((GOOD_RATE, good), (TOTAL_RATE, total))
    ]


def unknown(objective: str) -> list[dict[str, Any]]:
    return [is_absent(f'{name}{{objective="{objective}"}}', END) for name in (GOOD_RATE, TOTAL_RATE, burn_rate(300))]


def test_a_histogram_is_counted_at_its_bounds_and_two_objectives_on_it_do_not_mix(tmp_path: Path) -> None:
    histogram = ttft(R1, 100, b0p5=70, b1p0=90)
    checks = [*counted("quick", 70, 100), *counted("slower", 90, 100)]
    run_cases(tmp_path, render(SPEC)["objectives.rules.yml"], [case("bounds", histogram, *checks)])


def test_a_replica_with_judged_requests_is_counted_by_them_and_the_other_by_its_histogram(tmp_path: Path) -> None:
    given = [*evaluated(R1, "quick", 48, 12), *ttft(R1, 60, b0p5=60), *ttft(R2, 100, b0p5=70)]
    ranks = [*evaluated(R1, "quick", 48, 12), *evaluated(R1 | {"rank": "1"}, "quick", 6, 6)]
    cases = [
        case("one of each", given, *counted("quick", 48 + 70, 60 + 100)),
        case("ranks add up", ranks, *counted("quick", 54, 72)),
    ]
    run_cases(tmp_path, render(SPEC)["objectives.rules.yml"], cases)


def test_replicas_of_the_same_name_on_two_nodes_are_two(tmp_path: Path) -> None:
    other = R1 | {"instance": "b:9800"}
    given = [*evaluated(R1, "quick", 48, 12), *ttft(other, 100, b0p5=70)]
    run_cases(tmp_path, render(SPEC)["objectives.rules.yml"], [case("two nodes", given, *counted("quick", 118, 160))])


def test_what_cannot_be_counted_is_unknown_and_neither_good_nor_bad(tmp_path: Path) -> None:
    cases = [
        case("the threshold isn't a bucket boundary", ttft(R1, 100, b1p0=90), *unknown("quick")),
        case("another model's histogram", ttft(R1 | {"model": "other"}, 100, b0p5=70), *unknown("quick")),
        case("requests evaluated by another objective", evaluated(R1, "slower", 5, 5), *unknown("quick")),
        case("nothing", [], *unknown("quick"), *unknown("up")),
    ]
    run_cases(tmp_path, render(SPEC)["objectives.rules.yml"], cases)


def test_requests_of_a_single_token_have_no_time_per_token(tmp_path: Path) -> None:
    histogram = [
        count(TPOT.bucket, R1, 80, le="0.04"),
        count(TPOT.count, R1, 100),
        count(GENERATION_LENGTH.bucket, R1, 30, le="1.0"),
    ]
    cases = [
        case("30 of 100 had one token", histogram, *counted("tpot", 50, 70)),
        case("no lengths known", histogram[:2], *counted("tpot", 80, 100)),
    ]
    run_cases(tmp_path, render(SPEC)["objectives.rules.yml"], cases)


def test_availability_counts_failed_rejected_and_abandoned_while_queued(tmp_path: Path) -> None:
    served = [count(FINISHED.name, R1, 80, reason="stop"), count(FINISHED.name, R1, 10, reason="length")]
    bad = [
        count(FINISHED.name, R1, 1, reason="error"),
        count(REJECTED.name, UNRANKED, 2, reason="5xx"),
        count(ABANDONED.name, UNRANKED, 3, stage="queued"),
    ]
    aside = [count(FINISHED.name, R1, 50, reason="abort"), count(ABANDONED.name, UNRANKED, 50, stage="streaming")]
    cases = [case("all kinds", [*served, *bad, *aside], *counted("up", 90, 96))] + [
        case(f"only kind {index}", [*served, one], *counted("up", 90, 90 + rate))
        for index, (one, rate) in enumerate(zip(bad, (1, 2, 3), strict=True))
    ]
    run_cases(tmp_path, render(SPEC)["objectives.rules.yml"], cases)


def test_windows_are_weighted_by_requests_and_bad_ones_are_counted(tmp_path: Path) -> None:
    """A busy bad quarter of an hour outweighs an idle good one: 600 bad of 600, then 12 good; a mean of ratios would be 50 %."""
    name, labels = OBJECTIVE_REQUESTS.name, R1 | {"objective": "quick"}
    given = [
        {
            "series": series(name, labels | {"outcome": "good"}),
            "values": counter((20, 0.0), (15, 0.0), (60, 0.2)),
        },
        {
            "series": series(name, labels | {"outcome": "bad"}),
            "values": counter((20, 0.0), (15, 40.0), (60, 0.0), start=1000),
        },
    ]
    share = f'round(sum({burn_rate(3600)}{{objective="quick"}}) * 0.05, 0.01)'
    bad = f'round(sum({bad_requests(3600)}{{objective="quick"}}))'
    cases = [case("weights", given, is_value(share, 65, 0.99), is_value(bad, 65, 600))]
    run_cases(tmp_path, render(SPEC)["objectives.rules.yml"], cases)

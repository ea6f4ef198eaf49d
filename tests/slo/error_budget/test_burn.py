"""Tiers against the SRE workbook's table, and reachability."""

import pytest

from plimsoll.slo.error_budget.burn_rate import burn_rate, tiers

DAY = 86400.0


@pytest.mark.parametrize(
    ("days", "factors"),
    [
        (30, [14.4, 6.0, 3.0, 1.0]),  # SRE workbook, table 5-8 and its Prometheus example
        (
            28,
            [13.44, 5.6, 2.8, 1.0],
        ),  # the same fractions over 28 days; the last would be 0.93, and no threshold is below 1
        (7, [13.44, 3.5, 1.4, 1.0]),  # 8, 12.5, 20 and 42 % of a week's budget
    ],
)
def test_factors_are_those_of_the_published_tables(days: int, factors: list[float]) -> None:
    found = tiers(days * DAY, 0.001)
    assert [round(tier.threshold, 4) for tier in found] == factors
    assert [(tier.long / 3600, tier.short / 60) for tier in found] == [(1, 5), (6, 30), (24, 120), (72, 360)]


@pytest.mark.parametrize("budget", [0.0005, 0.001, 0.01, 0.05, 0.1, 0.3, 0.5])
def test_every_tier_fires_in_a_total_outage_and_none_on_a_kept_budget(budget: float) -> None:
    for tier in tiers(28 * DAY, budget):
        assert tier.detection_seconds(budget, 1.0) is not None
        assert tier.detection_seconds(budget, budget * 0.9) is None


def test_a_90_percent_objective_pages_within_the_hour_where_the_common_tiers_take_hours() -> None:
    # Sloth's 14.4x never fires at 90 % (it would need 144 % errors); its page comes from 6h > 60 %, after 3.6 h.
    page = tiers(30 * DAY, 0.1)[0]
    assert [page.threshold, page.uncapped_threshold] == pytest.approx([8.0, 14.4])
    assert page.detection_seconds(0.1, 1.0) == pytest.approx(0.8 * 3600)


def test_detection_time_is_threshold_times_window_over_errors() -> None:
    assert tiers(30 * DAY, 0.001)[0].detection_seconds(0.001, 0.5) == pytest.approx(14.4 * 0.001 * 3600 / 0.5)


def test_windows_shrink_with_a_short_slo_window_and_grow_with_a_long_one() -> None:
    hours = {days: [tier.long / 3600 for tier in tiers(days * DAY, 0.01)] for days in (1 / 24, 1, 3, 90, 365)}
    assert hours[1 / 24] == pytest.approx([1 / 6, 1 / 6, 1 / 4])  # one page, two tickets
    assert hours[1] == pytest.approx([1 / 6, 1 / 2, 3, 8])
    assert hours[3] == pytest.approx([1 / 4, 2, 8, 24])
    assert hours[90] == [1, 6, 24, 168]
    assert hours[365] == [1, 6, 24, 336]


def test_without_requests_the_burn_rate_is_unknown() -> None:
    assert burn_rate(0, 0, 0.01) is None
    assert burn_rate(99, 100, 0.01) == pytest.approx(1.0)

"""An error budget's burn: both windows must burn, and with enough bad requests to mean something."""

from dataclasses import replace

import pytest

from plimsoll.slo.error_budget.budget import NOTHING, RequestCounts, budget, burn_windows, too_early
from plimsoll.slo.error_budget.burn_rate import MIN_BAD
from plimsoll.slo.spec.objectives import Objective
from world import spec

FAST: Objective = spec().objective("fast")


def firing(long: RequestCounts, short: RequestCounts) -> dict[str, bool]:
    """Which tiers fire when every long window saw `long` and every short one `short`."""
    found = budget(FAST, long, 86400, dict.fromkeys(burn_windows(FAST), long) | {300.0: short, 1800.0: short})
    return {burn.tier.tier: burn.firing for burn in found.burns}


@pytest.mark.parametrize(("tier", "least"), [("page-fast", MIN_BAD["page"]), ("ticket-fast", MIN_BAD["ticket"])])
def test_a_tier_needs_enough_bad_requests_in_its_long_window(tier: str, least: int) -> None:
    one_less = RequestCounts(0, least - 1, 3600)
    enough = replace(one_less, total=least)
    assert not firing(one_less, one_less)[tier]
    assert firing(enough, enough)[tier]


def test_one_bad_request_at_night_is_not_burning() -> None:
    lonely = RequestCounts(0, 1, 300)
    found = budget(FAST, RequestCounts(1000, 1001, 86400), 86400, dict.fromkeys(burn_windows(FAST), lonely))
    assert found.status == "ok"
    many = RequestCounts(0, 20, 300)
    found = budget(FAST, RequestCounts(1000, 1020, 86400), 86400, dict.fromkeys(burn_windows(FAST), many))
    assert found.status == "burning"


def test_a_tier_fires_only_while_both_windows_burn() -> None:
    bad, good = RequestCounts(0, 100, 300), RequestCounts(100, 100, 300)
    assert firing(bad, bad)["page-fast"]
    assert not firing(bad, good)["page-fast"]
    assert not firing(good, bad)["page-fast"]
    assert not firing(bad, NOTHING)["page-fast"]


@pytest.mark.parametrize(
    ("window", "least"),
    [(28 * 86400.0, 86400.0), (90 * 86400.0, 86400.0), (7 * 86400.0, 6 * 3600.0), (28 * 3600.0, 3600.0)],
)
def test_a_window_is_judged_from_a_day_on_or_a_28th_of_a_shorter_one(window: float, least: float) -> None:
    assert too_early(window, 0.0) and too_early(window, least - 1)
    assert not too_early(window, least) and not too_early(window, window)


def test_a_young_window_keeps_its_numbers_and_its_alerts() -> None:
    bad = RequestCounts(0, 100, 180)
    found = budget(FAST, bad, 180, dict.fromkeys(burn_windows(FAST), bad))
    assert found.too_early and found.firing and found.budget_remaining == pytest.approx(-19)
    full = replace(bad, covered_seconds=86400)
    assert not budget(FAST, full, 86400, {}).too_early and not budget(FAST, full, 86400, {}).firing

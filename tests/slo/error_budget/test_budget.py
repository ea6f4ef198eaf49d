"""An error budget's burn: both windows must burn, and with enough bad requests to mean something."""

from dataclasses import replace

import pytest

from plimsoll.slo.error_budget.budget import NOTHING, RequestCounts, budget, burn_windows
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

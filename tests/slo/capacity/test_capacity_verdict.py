"""Verdicts on pairs of reports whose figures are known, on both sides of each bound."""

from typing import Any

import pytest

from plimsoll.slo.capacity.backtest.comparison import Bounds, against, near

KEY = "2000/200"


def report(goodput: float, hours: float, policy: str = "rule", events: int = 3, wet: float = 10.0) -> dict[str, Any]:
    return {
        **{"policy": policy, "goodput": {KEY: goodput}, "node_hours": hours, "scale_events": events},
        **{"most_nodes": 2, "seconds_queued": wet, "seconds": 100.0},
    }


@pytest.mark.parametrize(
    ("goodput", "hours", "word"),
    [
        (0.9, 3.0, "same"),
        (0.8, 3.0, "dominates"),
        (0.9, 3.1, "dominates"),
        (0.9, 2.9, "dominated"),
        (0.91, 3.0, "dominated"),
    ],
)
def test_no_worse_in_both_and_better_in_one_dominates(goodput: float, hours: float, word: str) -> None:
    assert against(report(0.9, 3.0), report(goodput, hours), [], KEY, 0.99).word == word


def test_what_was_dearer_says_what_it_bought_and_at_which_promise_it_dominates() -> None:
    ours, rule = report(0.95, 3.0, wet=5.0), report(0.9, 2.0, wet=120.0)
    frugal = [{**report(0.94, 2.1), "planned_target": 0.9}, {**report(0.91, 2.0), "planned_target": 0.5}]
    found = against(ours, rule, frugal, KEY, 0.99)
    assert found.word == "costlier"
    assert found.why == (
        "+5.0 points of goodput for +50% node-hours; under rule requests waited at 100% of the scrapes, under ours at 5%; "
        "at a target of 50%, ours dominates: 0.9100 at 2.00 node-hours"
    )
    assert against(ours, rule, frugal[:1], KEY, 0.99).why.endswith("no lower target of ours dominates it")
    still = report(0.9, 2.0, events=0)
    assert against(ours, still, [], KEY, 0.99).why.endswith("it never left its 2 nodes, and nothing costs less")


@pytest.mark.parametrize(("promised", "kept"), [(0.95, True), (0.96, False)])
def test_what_was_cheaper_says_whether_the_promise_was_kept(promised: float, kept: bool) -> None:
    found = against(report(0.95, 3.0), report(1.0, 9.0), [], KEY, promised)
    assert found.word == "cheaper"
    assert ("ours meets the target of 95%" in found.why) == kept


@pytest.mark.parametrize(
    ("goodput", "hours", "within"), [(0.9801, 1.15, True), (0.9799, 1.15, False), (0.9801, 1.16, False)]
)
def test_near_the_clairvoyant_is_fifteen_percent_of_its_hours_and_99_percent_of_its_goodput(
    goodput: float, hours: float, within: bool
) -> None:
    found = near(report(goodput, hours), report(0.99, 1.0), Bounds(0.99, 0.8, 1.5), KEY)
    assert (found.word == "same") == within


def test_what_foresight_is_worth_is_said() -> None:
    ours, best = report(0.9, 2.0), report(1.0, 1.0)
    assert "no policy without foresight reaches it" in near(ours, best, Bounds(0.98, 0.5, None), KEY).why
    found = near(ours, best, Bounds(0.99, 0.5, 1.5), KEY).why
    assert "ordered when needed and not a cold start ahead, reaches 0.5000" in found
    assert "takes 1.50 node-hours (+50%)" in found

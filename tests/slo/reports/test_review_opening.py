"""The review's first paragraph: what it states of each week, and that missing data is neither good nor zero."""

from typing import Any

import pytest

from plimsoll.slo.capacity.forecast_models import PoolForecast
from plimsoll.slo.reports.review_models import Review, SloReview, Week
from plimsoll.slo.reports.review_pool import PoolReview, PoolWeek
from plimsoll.slo.reports.summary.digest import Digest
from plimsoll.slo.reports.summary.opening import opening

NOTHING: dict[str, Any] = dict.fromkeys(PoolWeek.model_fields) | {"coverage": 1.0}


def week(bad: int, total: int = 10_000, coverage: float = 1.0) -> dict[str, Any]:
    ratio = (total - bad) / total if total else None
    return {
        **{"good": total - bad, "total": total, "bad": bad, "good_ratio": ratio},
        **{"coverage": coverage, "excluded_seconds": 0.0},
    }


def slo(name: str, bad: int, causes: dict[str, int] | None = None, **given: Any) -> SloReview:
    """A week of 10,000 requests with a target of 99%: 100 may be bad."""
    numbers = week(bad, **given)
    ratio = numbers["good_ratio"]
    return SloReview(
        **numbers,
        id=name,
        pool="chat",
        target=0.99,
        met=None if ratio is None else ratio >= 0.99,
        budget_consumed=None if ratio is None else bad / 100,
        bad_by_cause=causes,  # type: ignore[arg-type]
        previous=Week(**week(0)),
    )


def pool(name: str = "chat", forecast: dict[str, Any] | None = None, **given: Any) -> PoolReview:
    """A pool; fields of its week are given with `week_` before their names, those of the week before with `previous_`."""

    def of(prefix: str) -> PoolWeek:
        return PoolWeek(
            **NOTHING | {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)}
        )

    own: dict[str, Any] = dict.fromkeys(
        (
            "capacity_tokens_per_second",
            "headroom",
            "peak_headroom",
            "survives_node_loss",
            "last_recommended_at",
            "recommended_nodes",
        )
    )
    own |= {key: value for key, value in given.items() if not key.startswith(("week_", "previous_"))}
    return PoolReview(
        name=name,
        week=of("week_"),
        previous=of("previous_"),
        forecast=PoolForecast(pool=name, data_through_week="2026-W47", **forecast or {}),
        action_counts={},
        reasons=[],
        **own,
    )


def review(slos: list[SloReview], pools: list[PoolReview]) -> Review:
    span: dict[str, Any] = {"from": "2026-11-16T00:00:00Z", "to": "2026-11-23T00:00:00Z"}
    return Review(week="2026-W47", **span, complete=True, slos=slos, pools=pools, simulated=False)


def test_a_missed_slo_is_named_with_its_ratio_and_the_causes_of_what_it_consumed() -> None:
    found = opening(review([slo("a", 50), slo("b", 214, {"queueing": 200, "other": 14})], [pool()]))
    assert (found.met, found.missed, found.unknown) == (1, 1, 0)
    assert "1 of 2 SLOs" in found.slos and "b (97.86% of 99%)" in found.slos
    assert "b consumed" in found.budgets and "214%" in found.budgets and "Queueing 200, Normal load 14" in found.budgets
    assert found.paragraph.startswith(found.slos)


def test_an_slo_without_enough_data_is_neither_met_nor_missed_and_its_budget_is_not_reported() -> None:
    found = opening(review([slo("young", 500, coverage=0.03), slo("silent", 0, total=0), slo("a", 20)], [pool()]))
    assert (found.met, found.missed, found.unknown) == (1, 0, 2)
    assert "young, silent" in found.slos
    assert found.budgets.startswith("a consumed") and "20%" in found.budgets
    nothing = opening(review([slo("silent", 0, total=0)], [pool()]))
    assert "isn't known" in nothing.budgets and "%" not in nothing.budgets


def test_money_is_summed_over_pools_with_a_price_and_the_others_are_named() -> None:
    pools = [
        pool("chat", week_cost_usd=1000.0, previous_cost_usd=800.0, week_usd_per_million_tokens=0.5),
        pool("embedding", week_cost_usd=200.0, previous_cost_usd=200.0),
        pool("batch"),
    ]
    cost = opening(review([], pools)).cost
    assert "$1,200" in cost and "+20.0%" in cost and "chat, $1,000 at $0.500 per 1M tokens" in cost
    assert cost.endswith("the cost of batch.")
    assert opening(review([], [pool()])).cost == "The cost isn't known."


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        ({"forecast": {"likely_breach_week": "2026-W50", "possible_breach_week": "2026-W49"}}, ["breach_likely"]),
        ({"forecast": {"possible_breach_week": "2026-W49"}}, ["breach_possible"]),
        ({"recommended_nodes": 4, "week_nodes": 2.9}, ["nodes_recommended"]),
        ({"recommended_nodes": 3, "week_nodes": 2.9}, []),
        ({"survives_node_loss": False}, ["not_redundant"]),
        ({"survives_node_loss": True}, []),
    ],
)
def test_a_pool_needs_a_decision(given: dict[str, Any], codes: list[str]) -> None:
    found = opening(review([slo("a", 0)], [pool(**given)]))
    assert [one.code for one in found.decisions] == codes
    assert all("chat" in one.text and one.text in found.decision for one in found.decisions)


@pytest.mark.parametrize(
    ("bad", "causes", "codes"),
    [
        (200, {"queueing": 80, "preemption": 60, "errors": 60}, ["capacity"]),
        (200, {"errors": 150, "queueing": 50}, ["errors"]),
        (200, {"other": 150, "queueing": 50}, []),
        (90, {"errors": 90}, []),
        (200, None, []),
    ],
)
def test_a_missed_slo_needs_a_decision_by_its_causes(bad: int, causes: dict[str, int] | None, codes: list[str]) -> None:
    found = opening(review([slo("a", bad, causes)], [pool(survives_node_loss=True)]))
    assert [one.code for one in found.decisions] == codes


def test_without_any_capacity_no_decision_is_not_the_same_as_none_wanted() -> None:
    assert "not known" in opening(review([slo("a", 0)], [pool()])).decision
    assert opening(review([slo("a", 0)], [pool(survives_node_loss=True)])).decision == "No decision is wanted."


def test_a_digest_has_the_page_and_a_line_for_each_slo_and_pool() -> None:
    digest = Digest.of(review([slo("young", 5, coverage=0.03)], [pool(week_nodes=3.0)]), "https://slo.example/")
    assert digest.url == "https://slo.example/reviews/2026-W47"
    assert (digest.slos[0].met, digest.pools[0].nodes, digest.pools[0].slo_breach_forecast) == (
        None,
        3.0,
        "No forecast",
    )
    assert digest.model_dump(by_alias=True)["from"] == "2026-11-16T00:00:00Z"

"""A weekly review as one table for a spreadsheet: a row for each figure, so that weeks can be stacked and turned as needed."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from plimsoll.slo import csv_table
from plimsoll.slo.reports.costs.showback import Showback
from plimsoll.slo.reports.recommendations.shadow import Shadow
from plimsoll.slo.reports.review_models import Review, Week
from plimsoll.slo.reports.review_pool import PoolWeek

REQUESTS, RATIO, TOKENS, RATE, YES = "requests", "ratio", "tokens", "tokens/s", "true or false"
OBJECTIVE = {"target": RATIO, "met": YES, "budget_consumed": RATIO, "budget_consumed_lower_bound": RATIO}
WEEK = {
    **{"good": REQUESTS, "total": REQUESTS, "bad": REQUESTS, "good_ratio": RATIO},
    **{"indeterminate": REQUESTS, "good_ratio_upper_bound": RATIO},
    **{"coverage": RATIO, "excluded_seconds": "seconds"},
}
POOL_WEEK = {
    **{"peak_tokens_per_second": RATE, "peak_at": "RFC 3339", "p95_tokens_per_second": RATE, "coverage": RATIO},
    **{"arrivals": REQUESTS, "input_tokens": TOKENS, "output_tokens": TOKENS},
    **{"rejected": REQUESTS, "preemptions": REQUESTS, "replica_disruptions": "replicas"},
    **{"waiting_max": REQUESTS, "kv_cache_usage_max": RATIO, "nodes": "nodes", "node_hours": "node-hours"},
    **{"cost_usd": "USD", "usd_per_million_tokens": "USD"},
    **{"usd_per_million_input_tokens": "USD", "usd_per_million_output_tokens": "USD"},
    **{"joules_per_token": "joules", "carbon_kg": "kg"},
}
POOL = {
    **{"capacity_tokens_per_second": RATE, "headroom": RATIO, "peak_headroom": RATIO},
    **{"utilization": RATIO, "usd_per_million_tokens_at_full_utilization": "USD"},
}
SINCE = {
    "survives_node_loss": YES,
    "recommended_nodes": "nodes",
    "saturation_tokens_per_second_per_replica": RATE,
}  # fields that have one `_previous`
BUYING = {
    **{"break_even_utilization": RATIO, "nodes": "nodes", "payback_years": "years"},
    **{"rented_usd_per_week": "USD", "mixed_usd_per_week": "USD"},
}
EVENT = {
    **{"factor": RATIO, "seen_factor": RATIO, "coverage": RATIO},
    **{"requests_per_second": "requests/s", "seen_requests_per_second": "requests/s"},
}
FORECAST = {"likely_breach_week": "ISO week", "possible_breach_week": "ISO week"}


class Row(NamedTuple):
    """A figure of an objective or a pool, and that of the week before; empty where unknown or where there is none."""

    week: str
    kind: str
    name: str
    measure: str
    value: Any
    previous: Any
    unit: str


def to_csv(review: Review) -> str:
    """Write the review as CSV (RFC 4180) with a header."""
    return csv_table.to_csv(Row._fields, _rows(review))


def _rows(review: Review) -> Iterator[Row]:
    for item in review.slos:
        common = (review.week, "slo", item.id)
        yield from _both(common, WEEK, item, item.previous)
        yield from _one(common, OBJECTIVE, item)
        yield from (
            Row(*common, f"bad_by_cause/{cause}", bad, None, REQUESTS)
            for cause, bad in (item.bad_by_cause or {}).items()
        )
    for pool in review.pools:
        common = (review.week, "pool", pool.name)
        yield from _both(common, POOL_WEEK, pool.week, pool.previous)
        yield from _one(common, POOL, pool)
        for measure, unit in SINCE.items():
            yield Row(*common, measure, getattr(pool, measure), getattr(pool, f"{measure}_previous"), unit)
        yield from (
            Row(*common, f"api_comparison/{name}/usd", api.usd, None, "USD")
            for name, api in pool.api_comparison.items()
        )
        yield from _one(common, FORECAST, pool.forecast)
        for measure, unit in BUYING.items() if pool.buying else ():
            yield Row(*common, f"buying/{measure}", getattr(pool.buying, measure), None, unit)
        yield from (
            Row(*common, f"settings/{one.setting}/{one.proposed}/attainment", one.attainment, None, RATIO)
            for one in (pool.settings.changes if pool.settings else ())
        )
        yield from _showback(common, pool.showback)
        yield from _shadow(common, pool.shadow)
        for one in pool.events:
            for measure, unit in EVENT.items():
                yield Row(*common, f"events/{one.since}/{one.name}/{measure}", getattr(one, measure), None, unit)
        made = pool.recommendations
        for measure in ("made", "followed", "unknown"):
            yield Row(*common, f"recommendations/{measure}", getattr(made, measure), None, "recommendations")
        for answer, number in made.answers.items():
            yield Row(*common, f"recommendations/answered/{answer}", number, None, "recommendations")


def _shadow(common: tuple[str, str, str], found: Shadow | None) -> Iterator[Row]:
    for measure in ("recommended_node_hours", "actual_node_hours") if found else ():
        yield Row(*common, f"shadow/{measure}", getattr(found, measure), None, "node-hours")
    for side in ("more", "fewer") if found else ():
        yield Row(*common, f"shadow/{side}/hours", getattr(found, side).hours, None, "hours")


def _showback(common: tuple[str, str, str], found: Showback | None) -> Iterator[Row]:
    if found is None:
        return
    yield Row(*common, "showback/idle_usd", found.idle_usd, None, "USD")
    for kind in ("tenants", "adapters", "teams"):
        split = getattr(found, kind)
        rows = [("shares/" + name, share) for name, share in split.shares.items()] if split else []
        for name, share in [*rows, ("unattributed", split.unattributed)] if split else []:
            for measure, unit in (("input_tokens", TOKENS), ("output_tokens", TOKENS), ("cost_usd", "USD")):
                yield Row(*common, f"showback/{kind}/{name}/{measure}", getattr(share, measure), None, unit)


def _both(
    common: tuple[str, str, str], units: dict[str, str], now: Week | PoolWeek, previous: Week | PoolWeek
) -> Iterator[Row]:
    for measure, unit in units.items():
        yield Row(*common, measure, getattr(now, measure), getattr(previous, measure), unit)


def _one(common: tuple[str, str, str], units: dict[str, str], of: object) -> Iterator[Row]:
    for measure, unit in units.items():
        yield Row(*common, measure, getattr(of, measure), None, unit)

"""The review of a period as one table for a spreadsheet: a row for each figure."""

from collections.abc import Iterator
from typing import Any

from plimsoll.slo import csv_table
from plimsoll.slo.reports.periods.models import PeriodReview
from plimsoll.slo.reports.review_csv import OBJECTIVE, RATIO, REQUESTS, TOKENS, WEEK, YES

HEADER = ("period", "kind", "name", "measure", "value", "previous", "unit")
COMBINED = {
    **{"weighting": "weighting", "total": REQUESTS, "bad": REQUESTS},
    **{"good_ratio": RATIO, "good_ratio_upper_bound": RATIO, "target": RATIO, "met": YES},
    **{"budget_consumed": RATIO, "budget_consumed_lower_bound": RATIO, "cost_usd": "USD"},
}
USAGE = {
    **{"coverage": RATIO, "arrivals": REQUESTS, "input_tokens": TOKENS, "output_tokens": TOKENS},
    **{"rejected": REQUESTS, "preemptions": REQUESTS, "replica_disruptions": "replicas"},
    **{"peak_tokens_per_second": "tokens/s", "nodes": "nodes", "node_hours": "node-hours"},
    **{"cost_usd": "USD", "usd_per_million_tokens": "USD"},
}


def to_csv(review: PeriodReview) -> str:
    """Write the review as CSV (RFC 4180) with a header."""
    return csv_table.to_csv(HEADER, _rows(review))


def _rows(review: PeriodReview) -> Iterator[tuple[Any, ...]]:
    for one in review.combined:
        for name, unit in COMBINED.items():
            kind = "combined" if one.kind == "all" else f"combined/{one.kind}"
            yield review.period, kind, one.name, name, getattr(one, name), getattr(one, f"previous_{name}", None), unit
    for slo in review.slos:
        for name, unit in WEEK.items():
            yield review.period, "slo", slo.id, name, getattr(slo, name), getattr(slo.previous, name), unit
        for name, unit in OBJECTIVE.items():
            yield review.period, "slo", slo.id, name, getattr(slo, name), None, unit
    for pool in review.pools:
        for name, unit in USAGE.items():
            yield review.period, "pool", pool.name, name, getattr(pool.usage, name), getattr(pool.previous, name), unit

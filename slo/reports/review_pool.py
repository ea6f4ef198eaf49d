"""A pool's week in the review: demand against measured capacity, headroom, whether a node could have been lost, cost, coverage.

Everything is summed from the pool's slots in the ledger; what they do not tell is null. Capacity is what a replica did when it was
full (plimsoll.slo.capacity.recommendation.demand), as the last recommendation before the week's end knew it.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from math import fsum
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import DAY, SLOT, WEEK, rfc3339
from plimsoll.slo.capacity.forecast_models import PoolForecast
from plimsoll.slo.capacity.model.prices import SECONDS_PER_HOUR, Prices
from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.demand import PLANNING_UTILIZATION
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.reports.measured_states import throughput_before
from plimsoll.slo.reports.pool_cost import (
    ApiCost,
    Used,
    cost_usd,
    joules_per_token,
    node_hours,
    node_rate,
    usd_when_full,
)
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.usage import demand
from plimsoll.slo.usage.slots import PoolSlot

HISTORY = 10_000  # recommendations that are looked through: one a minute for a week
Forecaster = Callable[
    [Pool, int, ReplicaThroughput | None], PoolForecast
]  # as plimsoll.slo.reports.forecast.Forecasts.of
SUMS = ("arrivals", "input_tokens", "output_tokens", "rejected", "preemptions", "replica_disruptions")


def _known(text: str) -> Any:
    return Field(description=f"{text} Of the slots that are known; null: of none.")


class PoolWeek(BaseModel):
    """What a pool did in a week. Demand in tokens per second, prompt and generated, by slots of five minutes."""

    coverage: float = Field(
        description="Share of the week so far that was observed, 0 to 1. The rest is unknown, not idle."
    )
    arrivals: int | None = _known("Requests that came in.")
    input_tokens: int | None = _known("Tokens in.")
    output_tokens: int | None = _known("Tokens out.")
    rejected: int | None = _known("Requests rejected.")
    preemptions: int | None = _known("Requests pushed out of a batch.")
    replica_disruptions: int | None = _known("Replicas that restarted, stopped or were lost.")
    peak: float | None = _known("Demand of the busiest slot.")
    peak_at: str | None = Field(description="When that slot began, RFC 3339.")
    p95: float | None = _known("Demand that 95 % of the slots did not exceed.")
    waiting_max: float | None = _known("Most requests that waited at one time.")
    kv_cache_usage_max: float | None = _known("Most that was used of a replica's KV cache, 0 to 1.")
    nodes: float | None = _known("Mean nodes.")
    node_hours: float | None = _known("Node-hours.")
    cost_usd: float | None = _known("Those, at the pool's price of a node; null too where it has no price.")
    usd_per_million_tokens: float | None = Field(
        description="That over tokens in and out, of slots in which all is known; null without tokens or a price."
    )
    usd_per_million_input_tokens: float | None = Field(
        None,
        description="The whole cost over tokens in alone, of the same slots; not to be added to that of tokens out.",
    )
    usd_per_million_output_tokens: float | None = Field(
        None, description="The whole cost over tokens out alone, of the same slots."
    )
    joules_per_token: float | None = Field(description="GPU energy over tokens in and out, where both are known.")


class PoolReview(BaseModel):
    """A pool's week and the one before, what it could have carried, what was recommended and what is to come."""

    name: str
    week: PoolWeek
    before: PoolWeek
    capacity: float | None = Field(
        description="Tokens per second of the week's mean nodes, at 90 % of what full replicas were measured to do; null: never seen full."
    )
    headroom: float | None = Field(
        description="Share of that which the p95 of demand left free; negative: it did not suffice."
    )
    peak_headroom: float | None = Field(description="The same for the busiest slot.")
    n_minus_1: bool | None = Field(
        description="Whether the nodes would have carried the busiest slot without one of them, the strongest; null: not known."
    )
    n_minus_1_before: bool | None = Field(None, description="The same of the week before.")
    replica_capacity: float | None = Field(
        None, description="Tokens per second of a full replica, in the mean of those measured; null: never seen full."
    )
    replica_capacity_before: float | None = Field(None, description="As it was known when the week began.")
    utilization: float | None = Field(
        None,
        description="Tokens in and out over those that the same nodes would have done at all that a full replica was measured to do, of "
        "slots in which all is known; null: never seen full.",
    )
    usd_per_million_tokens_at_full_utilization: float | None = Field(
        None, description="USD per 1M tokens in and out if the pool's nodes were always full; null too without a price."
    )
    api_comparison: dict[str, ApiCost] = Field(
        {}, description="What APIs would have asked, by name of each whose price is on record."
    )
    forecast: PoolForecast
    actions: dict[Literal["scale_out", "scale_in", "hold", "insufficient_data"], int]
    last: str | None = Field(description="RFC 3339; null: nothing was said that week.")
    recommended_nodes: int | None
    recommended_nodes_before: int | None = Field(None, description="The last that was told before the week.")
    reasons: list[str]


def review_pool(
    ledger: Ledger, forecast: Forecaster, prices: Prices, pool: Pool, start: int, end: int
) -> tuple[PoolReview, bool]:
    """Review a pool from `start` to `end` (Unix seconds) beside APIs at `prices`; says too whether any of it was simulated."""
    told = ledger.recommendations(pool.name, HISTORY, before=end)  # newest first
    said = [item for item in told if item["at"] >= start]
    earlier = told[len(said) :]
    last = said[0] if said else None
    throughput, strength_before = throughput_before(ledger, pool.name, end), throughput_before(ledger, pool.name, start)
    rows = pool_rows(ledger.engine, pool.name, start, end)
    week, used = _week(pool, rows, end - start), Used.of(pool.node, rows)
    full = usd_when_full(pool, used, throughput)
    before = _week(pool, pool_rows(ledger.engine, pool.name, start - WEEK, start), WEEK)
    whole = _capacity(pool, week, throughput)
    found = PoolReview(
        name=pool.name,
        week=week,
        before=before,
        capacity=whole,
        headroom=_headroom(week.p95, whole),
        peak_headroom=_headroom(week.peak, whole),
        n_minus_1=_bears_a_loss(pool, week, throughput),
        n_minus_1_before=_bears_a_loss(pool, before, strength_before),
        replica_capacity=throughput.mean if throughput else None,
        replica_capacity_before=strength_before.mean if strength_before else None,
        utilization=used.utilization(node_rate(pool, throughput)),
        usd_per_million_tokens_at_full_utilization=full,
        api_comparison=used.at(prices, full),
        forecast=forecast(pool, int(end // DAY * DAY), throughput),
        actions=Counter(item["action"] for item in said),
        last=rfc3339(last["at"]) if last else None,
        recommended_nodes=last["recommended_nodes"] if last else None,
        recommended_nodes_before=earlier[0]["recommended_nodes"] if earlier else None,
        reasons=last["reasons"] if last else [],
    )
    return found, any(row.simulated for row in rows)


def _capacity(pool: Pool, week: PoolWeek, throughput: ReplicaThroughput | None) -> float | None:
    rate = node_rate(pool, throughput)
    return None if rate is None or not week.nodes else PLANNING_UTILIZATION * rate * week.nodes


def _bears_a_loss(pool: Pool, week: PoolWeek, throughput: ReplicaThroughput | None) -> bool | None:
    whole = _capacity(pool, week, throughput)
    if whole is None or throughput is None or week.peak is None:
        return None
    return week.peak <= whole - PLANNING_UTILIZATION * throughput.strongest * pool.node.replicas


def _headroom(used: float | None, capacity: float | None) -> float | None:
    return None if used is None or capacity is None else 1 - used / capacity


def _week(pool: Pool, rows: Sequence[PoolSlot], seconds: float) -> PoolWeek:
    rates = (demand.tokens(rows) / SLOT).dropna()
    watched = [(row.nodes, row.covered_seconds) for row in rows if row.nodes is not None]
    hours = node_hours(rows) if watched else None
    covered = fsum(row.covered_seconds for row in rows)
    used = Used.of(pool.node, rows)
    return PoolWeek(
        coverage=min(1.0, covered / seconds) if seconds else 0.0,
        peak=float(rates.max()) if len(rates) else None,
        peak_at=rfc3339(pd.DatetimeIndex(rates.index)[int(rates.argmax())].timestamp()) if len(rates) else None,
        p95=float(rates.quantile(0.95)) if len(rates) else None,
        waiting_max=_most(rows, "waiting_max"),
        kv_cache_usage_max=_most(rows, "kv_cache_usage_max"),
        nodes=hours and hours * SECONDS_PER_HOUR / fsum(span for _, span in watched),
        node_hours=hours,
        cost_usd=cost_usd(pool.node, rows) if hours else None,
        usd_per_million_tokens=used.usd_per_million(used.tokens),
        usd_per_million_input_tokens=used.usd_per_million(used.prompt),
        usd_per_million_output_tokens=used.usd_per_million(used.generated),
        joules_per_token=joules_per_token(rows),
        **{name: _sum(rows, name) for name in SUMS},
    )


def _sum(rows: Sequence[PoolSlot], name: str) -> int | None:
    known = [value for row in rows if (value := getattr(row, name)) is not None]
    return sum(known) if known else None


def _most(rows: Sequence[PoolSlot], name: str) -> float | None:
    return max((value for row in rows if (value := getattr(row, name)) is not None), default=None)

"""A pool's week in the review: demand, measured capacity, headroom, N+1 redundancy, cost, and data coverage.

Sums are of the pool's slots in the ledger; missing data is null. Capacity is 90% of the saturation throughput
(plimsoll.slo.capacity.recommendation.demand), as known at the end of the week.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from math import fsum
from operator import attrgetter
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import DAY, HOUR, SLOT, WEEK, rfc3339
from plimsoll.slo.capacity.forecast_models import PoolForecast
from plimsoll.slo.capacity.model.prices import SECONDS_PER_HOUR
from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.demand import PLANNING_UTILIZATION
from plimsoll.slo.capacity.recommendation.settings.models import SettingsAdvice
from plimsoll.slo.ledger.manual_changes import acknowledgements
from plimsoll.slo.ledger.rollup import NONE, Sums
from plimsoll.slo.reports.costs.buying import Buying, buying
from plimsoll.slo.reports.costs.showback import Showback, showback
from plimsoll.slo.reports.measured_states import settings_advice, throughput_before
from plimsoll.slo.reports.pool_cost import (
    ApiCost,
    Used,
    carbon_kg,
    cost_usd,
    joules_per_token,
    node_hours,
    node_rate,
    usd_when_full,
)
from plimsoll.slo.reports.recommendations.events import EventReview, seen_events
from plimsoll.slo.reports.recommendations.followed import Followed, followed
from plimsoll.slo.reports.recommendations.shadow import Shadow, shadow
from plimsoll.slo.reports.records import Records
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.usage import demand
from plimsoll.slo.usage.slots import PoolSlot

HISTORY = 10_000  # recommendations that are looked through: one a minute for a week
Forecaster = Callable[
    [Pool, int, ReplicaThroughput | None], PoolForecast
]  # as plimsoll.slo.reports.forecast.Forecasts.of
SUMS = ("arrivals", "input_tokens", "output_tokens", "rejected", "preemptions", "replica_disruptions")


def _measured(text: str) -> Any:
    """Return a field that is unknown where no monitored replica reported it."""
    return Field(description=f"{text} `null`: no monitored replica reported it.")


class PoolUsage(BaseModel):
    """Traffic and cost of a pool in a period."""

    coverage: float = Field(description="Ratio of the period so far with data, 0 to 1. The rest is unknown, not idle.")
    arrivals: int | None = _measured("Requests that arrived.")
    input_tokens: int | None = _measured("Input tokens.")
    output_tokens: int | None = _measured("Output tokens.")
    rejected: int | None = _measured("Requests rejected before scheduling.")
    preemptions: int | None = _measured("Requests preempted and recomputed.")
    replica_disruptions: int | None = _measured("Replicas that restarted, stopped, or were lost.")
    peak_tokens_per_second: float | None = _measured("Demand in the busiest slot.")
    nodes: float | None = _measured("Mean number of nodes up.")
    node_hours: float | None = _measured("Node-hours.")
    cost_usd: float | None = _measured("Cost of these node-hours in USD. Also `null` without a node price.")
    usd_per_million_tokens: float | None = Field(
        description="Cost per 1M input and output tokens, from slots with complete data. `null` without tokens or a price."
    )


class PoolWeek(PoolUsage):
    """Traffic, load, and cost of a pool in a week. Demand is in tokens per second (input and output), per 5-minute slot."""

    peak_at: str | None = Field(description="Start of that slot (RFC 3339).")
    p95_tokens_per_second: float | None = _measured("95th percentile of the demand per slot.")
    waiting_max: float | None = _measured("Maximum number of waiting requests.")
    kv_cache_usage_max: float | None = _measured("Maximum KV cache usage of a replica, 0 to 1.")
    usd_per_million_input_tokens: float | None = Field(
        None, description="The whole cost per 1M input tokens. Don't add it to the output figure."
    )
    usd_per_million_output_tokens: float | None = Field(None, description="The whole cost per 1M output tokens.")
    joules_per_token: float | None = Field(description="GPU energy per input and output token, in joules.")
    carbon_kg: float | None = Field(
        None,
        description="CO2 equivalent of the GPUs' energy, in kg. `null`: the energy or the carbon intensity isn't known.",
    )


class PoolReview(BaseModel):
    """A pool's week, the previous week, its capacity, the last recommendation, and the forecast."""

    name: str
    week: PoolWeek
    previous: PoolWeek
    capacity_tokens_per_second: float | None = Field(
        description="90% of the saturation throughput of the week's mean nodes. `null`: no replica has been saturated."
    )
    headroom: float | None = Field(
        description="Ratio of that capacity above the 95th percentile of the demand. Negative: the capacity was exceeded."
    )
    peak_headroom: float | None = Field(description="The same for the busiest slot.")
    survives_node_loss: bool | None = Field(
        description="Whether the capacity without the strongest node covers the busiest slot (N+1). `null`: not known."
    )
    survives_node_loss_previous: bool | None = Field(None, description="The same for the previous week.")
    saturation_tokens_per_second_per_replica: float | None = Field(
        None,
        description="Mean measured throughput of a saturated replica. `null`: no replica has been saturated.",
    )
    saturation_tokens_per_second_per_replica_previous: float | None = Field(
        None, description="The same, as known at the start of the week."
    )
    utilization: float | None = Field(
        None, description="Throughput over the saturation throughput of the same nodes. `null`: not known."
    )
    usd_per_million_tokens_at_full_utilization: float | None = Field(
        None, description="USD per 1M tokens if the pool's nodes were always saturated. `null` without a price."
    )
    api_comparison: dict[str, ApiCost] = Field(
        {}, description="Cost of the same tokens at each API with a known price."
    )
    forecast: PoolForecast
    action_counts: dict[Literal["scale_out", "scale_in", "hold", "insufficient_data"], int]
    last_recommended_at: str | None = Field(
        description="Time of the last recommendation (RFC 3339). `null`: none in this week."
    )
    recommended_nodes: int | None
    recommended_nodes_previous: int | None = Field(None, description="Last recommendation before the week.")
    reasons: list[str]
    recommendations: Followed = Field(Followed(), description="Recommendations made against followed and answered.")
    settings: SettingsAdvice | None = Field(
        None, description="Changes of engine settings, as last simulated in the week. `null`: none were simulated."
    )
    shadow: Shadow | None = Field(
        None, description="Recommended nodes beside those that ran, by hour. `null`: nothing was recommended."
    )
    events: list[EventReview] = Field([], description="Announced events of the week: expected and seen.")
    buying: Buying | None = Field(
        None, description="Buying nodes against renting them. `null`: no `node.purchase`, or no node was observed."
    )
    showback: Showback | None = Field(
        None, description="Cost and tokens by tenant, LoRA adapter, and team. `null`: gateways counted no tokens."
    )


def review_pool(
    records: Records, forecast: Forecaster, pool: Pool, span: tuple[int, int], recorded: Sequence[PoolSlot]
) -> tuple[PoolReview, bool]:
    """Return the review of a pool in a span (Unix seconds), and whether any of its data is simulated; `recorded` are its slots from
    a week before the span to its end, in order of time."""
    (start, end), ledger, prices = span, records.ledger, records.prices
    made = ledger.recommendations(pool.name, HISTORY, before=end)
    this_week, advice = _advice(made, start)
    throughput, strength_before = throughput_before(ledger, pool.name, end), throughput_before(ledger, pool.name, start)
    begin = bisect_left(recorded, start, key=lambda row: row.slot)
    earlier_rows, rows = recorded[:begin], recorded[begin:]
    used = Used.of(pool.node, rows)
    week = _week(pool, rows, end - start, used)
    full = usd_when_full(pool, used, throughput)
    previous = _week(pool, earlier_rows, WEEK, Used.of(pool.node, earlier_rows))
    whole = _capacity(pool, week, throughput)
    found = PoolReview(
        name=pool.name,
        week=week,
        previous=previous,
        capacity_tokens_per_second=whole,
        headroom=_headroom(week.p95_tokens_per_second, whole),
        peak_headroom=_headroom(week.peak_tokens_per_second, whole),
        survives_node_loss=_survives_node_loss(pool, week, throughput),
        survives_node_loss_previous=_survives_node_loss(pool, previous, strength_before),
        saturation_tokens_per_second_per_replica=throughput.mean if throughput else None,
        saturation_tokens_per_second_per_replica_previous=strength_before.mean if strength_before else None,
        utilization=used.utilization(node_rate(pool, throughput)),
        usd_per_million_tokens_at_full_utilization=full,
        api_comparison=used.at(prices, full),
        forecast=forecast(pool, int(end // DAY * DAY), throughput),
        **advice,
        recommendations=followed(acknowledgements(ledger.engine, pool.name), this_week, rows, end),
        settings=settings_advice(ledger, pool.name, start, end),
        shadow=shadow(made, rows, _by_hour(records, pool, span), span),
        events=seen_events((one for one in records.events() if one.covers(pool.name)), recorded, span),
        buying=buying(pool.node, rows),
        showback=showback(records, pool, rows, (start, end)),
    )
    return found, any(row.simulated for row in rows)


def _by_hour(records: Records, pool: Pool, span: tuple[int, int]) -> dict[str, list[Sums]]:
    """Return the sums of each hour of a span by SLO of a pool; whether they are simulated isn't among them."""
    (start, end), hour = span, int(HOUR)
    found = {one.id: [NONE] * -(-(end - start) // hour) for one in records.spec.objectives if one.pool == pool.name}
    for name, hours in found.items():
        for at, good, total, covered, indeterminate in records.ledger.rows(name, hour, start, end):
            hours[(at - start) // hour] = Sums(good, total, covered, False, indeterminate)
    return found


def _advice(recent: Sequence[dict[str, Any]], start: int) -> tuple[Sequence[dict[str, Any]], dict[str, Any]]:
    """Return the recommendations since `start`, and the review's fields about them; `recent` are newest first."""
    this_week = [item for item in recent if item["at"] >= start]
    earlier = recent[len(this_week) :]
    last = this_week[0] if this_week else None
    return this_week, {
        "action_counts": Counter(item["action"] for item in this_week),
        "last_recommended_at": rfc3339(last["at"]) if last else None,
        "recommended_nodes": last["recommended_nodes"] if last else None,
        "recommended_nodes_previous": earlier[0]["recommended_nodes"] if earlier else None,
        "reasons": last["reasons"] if last else [],
    }


def _capacity(pool: Pool, week: PoolWeek, throughput: ReplicaThroughput | None) -> float | None:
    rate = node_rate(pool, throughput)
    return None if rate is None or not week.nodes else PLANNING_UTILIZATION * rate * week.nodes


def _survives_node_loss(pool: Pool, week: PoolWeek, throughput: ReplicaThroughput | None) -> bool | None:
    whole = _capacity(pool, week, throughput)
    if whole is None or throughput is None or week.peak_tokens_per_second is None:
        return None
    return week.peak_tokens_per_second <= whole - PLANNING_UTILIZATION * throughput.strongest * pool.node.replicas


def _headroom(used: float | None, capacity: float | None) -> float | None:
    return None if used is None or capacity is None else 1 - used / capacity


def _week(pool: Pool, rows: Sequence[PoolSlot], seconds: float, used: Used) -> PoolWeek:
    rates = demand.tokens_by_slot(rows) / SLOT
    peak = int(np.nanargmax(rates)) if not np.isnan(rates).all() else None
    watched = [(row.nodes, row.covered_seconds) for row in rows if row.nodes is not None]
    hours = node_hours(rows) if watched else None
    covered, known = fsum(row.covered_seconds for row in rows), _known(rows)
    return PoolWeek(
        coverage=min(1.0, covered / seconds) if seconds else 0.0,
        peak_tokens_per_second=None if peak is None else float(rates[peak]),
        peak_at=None if peak is None else rfc3339(rows[peak].slot),
        p95_tokens_per_second=None if peak is None else float(np.nanquantile(rates, 0.95)),
        waiting_max=max(known["waiting_max"], default=None),
        kv_cache_usage_max=max(known["kv_cache_usage_max"], default=None),
        nodes=hours and hours * SECONDS_PER_HOUR / fsum(span for _, span in watched),
        node_hours=hours,
        cost_usd=cost_usd(pool.node, rows) if hours else None,
        usd_per_million_tokens=used.usd_per_million(used.tokens),
        usd_per_million_input_tokens=used.usd_per_million(used.prompt),
        usd_per_million_output_tokens=used.usd_per_million(used.generated),
        joules_per_token=joules_per_token(rows),
        carbon_kg=carbon_kg(pool, rows),
        **{name: sum(known[name]) if known[name] else None for name in SUMS},
    )


def _known(rows: Sequence[PoolSlot]) -> dict[str, list[Any]]:
    """Return the known values of the fields that a week sums, or of which it has the maximum."""
    columns = {name: map(attrgetter(name), rows) for name in (*SUMS, "waiting_max", "kv_cache_usage_max")}
    return {name: [value for value in column if value is not None] for name, column in columns.items()}

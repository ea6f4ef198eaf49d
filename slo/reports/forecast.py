"""Demand forecasts of pools from the ledger: weeks, nodes that serve them, and the week of a likely SLO breach."""

from collections.abc import Sequence
from functools import partial
from math import ceil
from threading import Lock

from plimsoll.slo.calendar import WEEK, week_of
from plimsoll.slo.capacity.forecast_models import Band, PoolForecast, WeekForecast
from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.demand import PLANNING_UTILIZATION
from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.capacity.special_hours import SpecialHours
from plimsoll.slo.ledger.manual_changes import announced_events
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.spec.event import AnnouncedEvent, of_file
from plimsoll.slo.spec.objectives import Pool, Spec
from plimsoll.slo.usage import demand
from plimsoll.slo.usage.slots import PoolSlot

HISTORY = 13 * WEEK  # seconds: a quarter; older seasons and trends are not this one's
LIKELY, POSSIBLE = 0.5, 0.1  # breach probabilities
CACHED = 64  # forecasts


class Forecasts:
    """Forecasts of all pools; each is computed once (seconds of work) and cached."""

    def __init__(self, spec: Spec, ledger: Ledger) -> None:
        self.spec, self.ledger = spec, ledger
        self._events = partial(announced, spec, ledger)
        self._cached: dict[tuple[object, ...], PoolForecast] = {}
        self._working = Lock()

    def of(self, pool: Pool, end: int, throughput: ReplicaThroughput | None) -> PoolForecast:
        """Forecast from the slots before `end` (Unix seconds); `throughput` is the replicas' saturation throughput (None: not known)."""
        events = tuple(one for one in self._events() if one.covers(pool.name))
        key = (pool.name, end, events, throughput and (throughput.typical, *throughput.measured.items()))
        with self._working:
            if key not in self._cached:
                if len(self._cached) >= CACHED:
                    self._cached.pop(next(iter(self._cached)))
                self._cached[key] = self._make(pool, end, throughput, events)
            return self._cached[key]

    def _make(
        self, pool: Pool, end: int, throughput: ReplicaThroughput | None, events: tuple[AnnouncedEvent, ...]
    ) -> PoolForecast:
        try:
            from plimsoll.slo.capacity import forecast as model  # noqa: PLC0415 - 200 MiB that not every service has
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] != "statsmodels":
                raise
            missing = "statsmodels isn't installed. Run `pip install 'plimsoll-slo[forecast]'`."
            return PoolForecast(pool=pool.name, data_through_week=week_of(end), unavailable_reason=missing)
        rows = pool_rows(self.ledger.engine, pool.name, end - HISTORY, end)
        target = latency_target(self.spec, pool)
        most = None if throughput is None else _max_capacity(pool, throughput)
        limit = None if most is None or target is None else model.MaxCapacity(most, 1 - target.target)
        common = PoolForecast(
            pool=pool.name,
            data_through_week=week_of(end),
            max_capacity_tokens_per_second=most,
            simulated=any(row.simulated for row in rows),
        )
        special = SpecialHours(self.spec.holidays_of(pool), events, _tokens_per_request(rows))
        try:
            found = model.forecast(demand.tokens(rows), ceil(pool.timing.procurement_lead_time / WEEK), limit, special)
        except model.InsufficientHistoryError as error:
            return common.model_copy(update={"unavailable_reason": str(error)})
        weeks = [week.model_copy(update={"nodes": _nodes(pool, throughput, week.peak)}) for week in found.weeks]
        return common.model_copy(
            update={
                "weeks": weeks,
                "likely_breach_week": _first(weeks, LIKELY),
                "possible_breach_week": _first(weeks, POSSIBLE),
                "transform": found.transform,
                "growth_per_week": found.growth_per_week,
                "observed_hours": found.observed_hours,
                "missing_hours": found.missing_hours,
                "backtest": found.backtest,
                "holidays": list(found.holidays),
                "events": list(found.events),
            }
        )


def announced(spec: Spec, ledger: Ledger) -> list[AnnouncedEvent]:
    """Return every announced event: of the objectives file, then those of the API, newest first."""
    return [*of_file(spec.events), *announced_events(ledger.engine)]


def _tokens_per_request(rows: Sequence[PoolSlot]) -> float | None:
    """Return input and output tokens of a finished request; None where none is known."""
    known = [
        (row.finished, row.input_tokens + row.output_tokens)
        for row in rows
        if row.finished is not None and row.input_tokens is not None and row.output_tokens is not None
    ]
    finished = sum(count for count, _ in known)
    return sum(tokens for _, tokens in known) / finished if finished else None


def _max_capacity(pool: Pool, throughput: ReplicaThroughput) -> float:
    """Tokens per second that the pool's maximum number of nodes serves."""
    return PLANNING_UTILIZATION * throughput.least(pool.nodes.max * pool.node.replicas)


def _nodes(pool: Pool, throughput: ReplicaThroughput | None, demand: Band) -> Band | None:
    """Nodes that serve a demand in tokens per second, the weakest of the present replicas first; None without a throughput."""
    if throughput is None:
        return None
    rates = demand.model_dump().items()
    required = {name: throughput.count_for(rate / PLANNING_UTILIZATION) / pool.node.replicas for name, rate in rates}
    return Band(**{name: ceil(nodes) for name, nodes in required.items()})


def _first(weeks: list[WeekForecast], probability: float) -> str | None:
    return next(
        (week.week for week in weeks if week.breach_probability is not None and week.breach_probability >= probability),
        None,
    )

"""A pool's forecast as the API and the review tell it: weeks to come, nodes for them, and the week in which the objective breaks."""

from math import ceil
from threading import Lock
from typing import Any

from pydantic import BaseModel, Field

from plimsoll.slo.calendar import WEEK, week_of
from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.demand import PLANNING_UTILIZATION
from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.spec.objectives import Pool, Spec
from plimsoll.slo.usage import demand

HISTORY = 13 * WEEK  # seconds: a quarter; older seasons and trends are not this one's
LIKELY, POSSIBLE = 0.5, 0.1  # share of the draws in which the objective breaks
KEPT = 64  # forecasts


class Band(BaseModel):
    """Low and high bound what four draws of five lie between; middle is the median."""

    low: float
    middle: float
    high: float


class WeekAhead(BaseModel):
    """A week to come. Demand in tokens per second, prompt and generated, of its busiest hour and of the hour at its p95."""

    week: str
    p95: Band
    peak: Band
    nodes: Band | None = Field(
        description="Nodes that carry the busiest hour; null: a replica's capacity is not known."
    )
    breaks: float | None = Field(
        description="Probability that more than the objectives allow of the week's demand comes in hours above what the "
        "pool's most nodes serve; null: a replica's capacity is not known."
    )


class ForecastError(BaseModel):
    """How wrong such a forecast was on the last weeks, told from those before them."""

    weeks: int
    error: float = Field(description="Sum of absolute errors over the sum of demand, hour by hour.")
    naive_error: float | None = Field(description="The same for repeating the week before.")
    peak_error: float = Field(description="Median relative error of a week's busiest hour.")
    within_band: float = Field(description="Share of known hours between low and high; 0.8 would be exact.")


class PoolForecast(BaseModel):
    """A pool's demand as far ahead as new nodes take to get."""

    pool: str
    since: str = Field(description="The ISO week up to which the ledger was used.")
    unknown: str | None = Field(description="Why there is no forecast; null where there is one.")
    weeks: list[WeekAhead] = []
    breaks_in: str | None = Field(
        default=None, description="First ISO week in which the objective breaks more likely than not."
    )
    may_break_in: str | None = Field(
        default=None, description="First ISO week in which it breaks with a probability of 10 %."
    )
    ceiling_tokens_per_second: float | None = Field(
        default=None,
        description="What the pool's most nodes serve: those of now at their measured capacity and more like them, at 90 % as everywhere.",
    )
    scale: str | None = None
    growth_per_week: float | None = None
    known_hours: int = 0
    unknown_hours: int = 0
    backtest: ForecastError | None = None
    simulated: bool = False


class Outlook:
    """Forecasts of all pools; each is made once (seconds of work) and kept."""

    def __init__(self, spec: Spec, ledger: Ledger) -> None:
        self.spec, self.ledger = spec, ledger
        self._kept: dict[tuple[object, ...], PoolForecast] = {}
        self._working = Lock()

    def of(self, pool: Pool, end: int, throughput: ReplicaThroughput | None) -> PoolForecast:
        """Forecast from what was booked before `end` (Unix seconds); `throughput` is what replicas can do (None: not known)."""
        key = (pool.name, end, throughput and (throughput.typical, *throughput.measured.items()))
        with self._working:
            if key not in self._kept:
                if len(self._kept) >= KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[key] = self._make(pool, end, throughput)
            return self._kept[key]

    def _make(self, pool: Pool, end: int, throughput: ReplicaThroughput | None) -> PoolForecast:
        try:
            from plimsoll.slo.capacity import forecast as model  # noqa: PLC0415 - 200 MiB that not every service has
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] != "statsmodels":
                raise
            return PoolForecast(
                pool=pool.name,
                since=week_of(end),
                unknown="statsmodels is not installed: pip install 'plimsoll-slo[forecast]'",
            )
        rows = pool_rows(self.ledger.engine, pool.name, end - HISTORY, end)
        target = latency_target(self.spec, pool)
        most = (
            None if throughput is None else PLANNING_UTILIZATION * throughput.least(pool.nodes.max * pool.node.replicas)
        )
        ceiling = None if most is None or target is None else model.Ceiling(most, 1 - target.target)
        common: dict[str, Any] = {
            **{"pool": pool.name, "since": week_of(end), "simulated": any(row.simulated for row in rows)},
            "ceiling_tokens_per_second": most,
        }
        try:
            found = model.forecast(demand.tokens(rows), ceil(pool.timing.procurement_lead_time / WEEK), ceiling)
        except model.TooLittle as error:
            return PoolForecast(unknown=str(error), **common)
        weeks = [
            WeekAhead(
                week=week_of(week.start.timestamp()),
                p95=_band(week.p95),
                peak=_band(week.peak),
                nodes=None
                if throughput is None
                else _band(tuple(_nodes(pool, throughput, value) for value in week.peak)),
                breaks=week.breaks,
            )
            for week in found.weeks
        ]
        tested = found.backtest
        return PoolForecast(
            unknown=None,
            weeks=weeks,
            breaks_in=_first(weeks, LIKELY),
            may_break_in=_first(weeks, POSSIBLE),
            scale=found.scale,
            growth_per_week=found.growth_per_week,
            known_hours=found.known_hours,
            unknown_hours=found.unknown_hours,
            backtest=ForecastError(
                weeks=tested.weeks,
                error=tested.error,
                naive_error=tested.naive,
                peak_error=tested.peak_error,
                within_band=tested.within_band,
            ),
            **common,
        )


def _nodes(pool: Pool, throughput: ReplicaThroughput, rate: float) -> int:
    """Nodes that serve so many tokens per second, the weakest of those present first."""
    return ceil(throughput.count_for(rate / PLANNING_UTILIZATION) / pool.node.replicas)


def _band(values: tuple[float, ...]) -> Band:
    low, middle, high = values
    return Band(low=low, middle=middle, high=high)


def _first(weeks: list[WeekAhead], probability: float) -> str | None:
    return next((item.week for item in weeks if item.breaks is not None and item.breaks >= probability), None)

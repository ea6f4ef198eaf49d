"""How a pool's demand will grow, as far ahead as new nodes take to get, and when it will be more than the pool may have.

The busiest five minutes of each hour, in tokens per second, are regressed on a trend and on the hours of the week (Fourier
terms: daily season and its weekly change), by statsmodels, on demand as it is or on its logarithm: whichever was better at
telling weeks that it had not seen. Hours of which any part is unknown are left out, never taken for zero. Weeks to come are
drawn many times: coefficients as uncertain as the data leave them (HAC, a day of lags) and whole days of what the model did
not explain. Holidays and announced events are left out of the weekly profile: holidays are forecast from past ones, or else from
weekend days; events as announced. Dynamic harmonic regression: Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 10.5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.regression.linear_model import OLS
from statsmodels.tsa.deterministic import DeterministicProcess, Fourier

from plimsoll.slo.calendar import SLOT, week_of
from plimsoll.slo.capacity.forecast_models import (
    Band,
    ForecastError,
    ForecastEvent,
    ForecastHoliday,
    Transform,
    WeekForecast,
)
from plimsoll.slo.capacity.special_hours import USUAL, SpecialHours

Floats = NDArray[np.float64]
HOUR, DAY = 3600, 24  # seconds, hours
WEEK = 7 * DAY  # hours
ORDER = 28  # shortest cycle of the season: six hours
ENOUGH = 21 * DAY  # known hours that separate season from trend
HELD_OUT = 1 / 3  # largest share of the history that is held out to measure the error
DRAWS, SEED = 400, 20231116
BAND = (0.1, 0.5, 0.9)  # four weeks of five lie within the band
TRANSFORMS: dict[Transform, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "linear": (lambda demand: demand, lambda value: np.maximum(value, 0.0)),
    "logarithmic": (np.log1p, lambda value: np.maximum(np.expm1(value), 0.0)),
}


class Season(NamedTuple):
    """What repeats: its hours, its shortest cycles as a number of Fourier terms, and whether there is a trend beside it."""

    name: str
    hours: int
    terms: int
    trend: bool


WEEKLY = Season("week", WEEK, ORDER, True)
DAILY = Season("day", DAY, 4, False)  # for backtests on traces of days: the same shortest cycle


@dataclass(frozen=True, slots=True)
class Forecast:
    """Weeks from the next Monday (UTC) on, the data behind them, and the error of such a forecast."""

    weeks: tuple[WeekForecast, ...]
    transform: Transform
    growth_per_week: float  # of the mean of the weeks to come, as a ratio
    observed_hours: int
    missing_hours: int
    backtest: ForecastError
    holidays: tuple[ForecastHoliday, ...] = ()
    events: tuple[ForecastEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class MaxCapacity:
    """Tokens per second that the pool's maximum number of nodes serves, and the ratio of demand that may come above it (1 - target)."""

    tokens_per_second: float
    allowed: float


class InsufficientHistoryError(ValueError):
    """The history is too short or has too many gaps; the message states what there is and what is needed."""


def hourly(tokens: "pd.Series[float]") -> "pd.Series[float]":
    """Turn tokens by slot (UTC, NaN: unknown) into tokens per second of each hour's busiest slot; NaN unless all are known."""
    whole = tokens.sort_index().resample(f"{SLOT}s").sum(min_count=1).resample("h")
    return whole.max().where(whole.count() == HOUR // SLOT) / SLOT


def forecast(
    tokens: "pd.Series[float]", weeks: int, limit: MaxCapacity | None = None, special: SpecialHours = USUAL
) -> Forecast:
    """Forecast `weeks` weeks from tokens per slot (UTC; NaN or absent: unknown). Raises InsufficientHistoryError."""
    demand = hourly(tokens)
    ordinary, known = demand.where(special.ordinary(pd.DatetimeIndex(demand.index))), int(demand.notna().sum())
    if (found := int(ordinary.notna().sum())) < ENOUGH:
        raise InsufficientHistoryError(f"{found // DAY} full days of data; a season and a trend need {ENOUGH // DAY}")
    held = min(weeks, int(len(demand) * HELD_OUT) // WEEK) * WEEK
    before, after = demand.iloc[:-held], demand.iloc[-held:]
    if ordinary.iloc[:-held].notna().sum() < 2 * WEEK or after.notna().sum() < WEEK // 2:
        raise InsufficientHistoryError("too many gaps in the last weeks, or in those before, to test a forecast on")
    tested = {name: _test(before, after, name, special) for name in TRANSFORMS}
    transform = min(tested, key=lambda name: tested[name].wape)
    first = demand.index[-1].normalize() + pd.Timedelta(days=7 - demand.index[-1].weekday())
    hours = pd.date_range(first, periods=weeks * WEEK, freq="h")
    drawn = draws(demand, hours, transform, special).reshape(weeks, WEEK, DRAWS)
    means = np.median(drawn.mean(axis=1), axis=1)
    return Forecast(
        tuple(_week(hours[index * WEEK], drawn[index], limit) for index in range(weeks)),
        transform,
        float((means[-1] / means[0]) ** (1 / (weeks - 1)) - 1) if weeks > 1 and means[0] > 0 else 0.0,
        known,
        len(demand) - known,
        tested[transform],
        _holidays(demand, hours, special),
        _events(hours, special),
    )


def _holidays(
    demand: "pd.Series[float]", hours: pd.DatetimeIndex, special: SpecialHours
) -> tuple[ForecastHoliday, ...]:
    method = special.method(demand)
    return tuple(
        ForecastHoliday(date=day.isoformat(), name=name, method=method) for day, name in special.named(hours).items()
    )


def _events(hours: pd.DatetimeIndex, special: SpecialHours) -> tuple[ForecastEvent, ...]:
    start, end = hours[0].timestamp(), hours[-1].timestamp() + HOUR
    coming = sorted((one for one in special.events if one.start < end and one.end > start), key=lambda one: one.start)
    return tuple(ForecastEvent.of(one) for one in coming)


def _week(start: pd.Timestamp, drawn: Floats, limit: MaxCapacity | None) -> WeekForecast:
    breach = None
    if limit is not None:
        above = np.where(drawn > limit.tokens_per_second, drawn, 0.0).sum(axis=0)
        breach = float((above > limit.allowed * drawn.sum(axis=0)).mean())
    return WeekForecast(
        week=week_of(start.timestamp()),
        p95=_band(np.quantile(drawn, 0.95, axis=0)),
        peak=_band(drawn.max(axis=0)),
        breach_probability=breach,
    )


def _band(values: Floats) -> Band:
    lower, median, upper = (float(value) for value in np.quantile(values, BAND))
    return Band(lower=lower, median=median, upper=upper)


def draws(
    demand: "pd.Series[float]",
    hours: pd.DatetimeIndex,
    transform: Transform,
    special: SpecialHours,
    season: Season = WEEKLY,
) -> Floats:
    """Draw the demand of hours to come: one row each, one column per draw."""
    there, back = TRANSFORMS[transform]
    past, terms = pd.DatetimeIndex(demand.index), _terms(demand, hours, special, season)
    known = demand.notna().to_numpy()
    used, off = known & special.ordinary(past), known & special.on_holidays(past) & ~special.in_events(past)
    fitted = OLS(there(demand[used].to_numpy()), terms.loc[past].to_numpy()[used]).fit(
        cov_type="HAC", cov_kwds={"maxlags": DAY}
    )
    random = np.random.default_rng(SEED)
    coefficients = random.multivariate_normal(fitted.params, fitted.cov_params(), DRAWS, method="eigh")
    days = -(-len(hours) // DAY)
    starts = random.integers(0, len(fitted.resid) - DAY + 1, (DRAWS, days))
    rest = fitted.resid[starts[:, :, None] + np.arange(DAY)].reshape(DRAWS, -1)[:, : len(hours)]
    unlike = there(demand[off].to_numpy()) - terms.loc[past].to_numpy()[off] @ fitted.params
    effect = special.effect(past[off], unlike, hours)
    drawn: Floats = back(terms.loc[hours].to_numpy() @ coefficients.T + rest.T + effect[:, None])
    return special.with_events(hours, drawn)


def _terms(demand: "pd.Series[float]", hours: pd.DatetimeIndex, special: SpecialHours, season: Season) -> pd.DataFrame:
    """Return constant, trend and season of all hours from the first known one to the last of `hours`."""
    terms: pd.DataFrame = DeterministicProcess(
        demand.index,
        constant=True,
        order=int(season.trend),
        additional_terms=[Fourier(season.hours, season.terms)],
        drop=True,
    ).range(demand.index[0], hours[-1])
    if season is WEEKLY:  # days that are all alike have no weekend
        seasonal = terms.columns[terms.columns.str.match("sin|cos")]
        terms[seasonal] = special.like_weekends(pd.DatetimeIndex(terms.index), terms[seasonal].to_numpy())
    return terms


def _test(
    before: "pd.Series[float]", after: "pd.Series[float]", transform: Transform, special: SpecialHours
) -> ForecastError:
    """Forecast `after` from `before`, and compare."""
    drawn = draws(before, pd.DatetimeIndex(after.index), transform, special)
    low, middle, high = np.quantile(drawn, BAND, axis=1)
    truth, known = after.to_numpy(), after.notna().to_numpy()
    repeated = np.resize(before.iloc[-WEEK:].to_numpy(), len(truth))
    both = known & ~np.isnan(repeated)
    peaks = []
    for start in range(0, len(truth), WEEK):
        seen = slice(start, start + WEEK)
        if known[seen].any():
            peak = np.median(drawn[seen][known[seen]].max(axis=0))
            peaks.append(abs(float(peak) / max(float(np.nanmax(truth[seen])), 1e-9) - 1))
    total = float(np.abs(truth[known]).sum()) or 1e-9
    return ForecastError(
        weeks=len(truth) // WEEK,
        wape=float(np.abs(truth - middle)[known].sum()) / total,
        seasonal_naive_error=float(np.abs(truth - repeated)[both].sum() / (np.abs(truth[both]).sum() or 1e-9))
        if both.any()
        else None,
        peak_median_relative_error=float(np.median(peaks)),
        interval_coverage=float(((low <= truth) & (truth <= high))[known].mean()),
    )

"""How a pool's demand will grow, as far ahead as new nodes take to get, and when it will be more than the pool may have.

The busiest five minutes of each hour, in tokens per second, are regressed on a trend and on the hours of the week (Fourier
terms: daily season and its weekly change), by statsmodels, on demand as it is or on its logarithm: whichever was better at
telling weeks that it had not seen. Hours of which any part is unknown are left out, never taken for zero. Weeks to come are
drawn many times: coefficients as uncertain as the data leave them (HAC, a day of lags) and whole days of what the model did
not explain. Dynamic harmonic regression: Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 10.5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.regression.linear_model import OLS
from statsmodels.tsa.deterministic import DeterministicProcess, Fourier

Floats = NDArray[np.float64]
SLOT, HOUR, DAY = 300, 3600, 24  # seconds, seconds, hours
WEEK = 7 * DAY  # hours
ORDER = 28  # shortest cycle of the season: six hours
ENOUGH = 21 * DAY  # known hours below which season and trend cannot be told apart
HELD_OUT = 1 / 3  # of the history, at most, is told from the rest to see how wrong that is
DRAWS, SEED = 400, 20231116
BAND = (0.1, 0.5, 0.9)  # four weeks of five lie within the band
TRANSFORMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "linear": (lambda demand: demand, lambda value: np.maximum(value, 0.0)),
    "logarithmic": (np.log1p, lambda value: np.maximum(np.expm1(value), 0.0)),
}


@dataclass(frozen=True, slots=True)
class Week:
    """A week to come, as (10 %, 50 %, 90 %) of the draws: tokens per second at its p95 and its busiest hour. `breaks` is the share
    of the draws in which more of its demand than the objective allows comes in hours above the ceiling; None: no ceiling is known."""

    start: pd.Timestamp
    p95: tuple[float, float, float]
    peak: tuple[float, float, float]
    breaks: float | None


@dataclass(frozen=True, slots=True)
class Backtest:
    """The last `weeks` weeks told from those before: `error` is the sum of absolute errors over that of demand, `naive` that of
    repeating the week before; `peak_error` is the median relative error of a week's busiest hour, `within_band` the share of
    known hours within the band (0.8 would be exact)."""

    weeks: int
    error: float
    naive: float | None
    peak_error: float
    within_band: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """Weeks to come from the next Monday (UTC) on, what they stand on and how wrong such a forecast was."""

    weeks: tuple[Week, ...]
    scale: str
    growth_per_week: float  # of the mean of the weeks to come, as a ratio
    known_hours: int
    unknown_hours: int
    backtest: Backtest


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Tokens per second that the pool's most nodes serve, and the share of demand that may come above it (1 - target)."""

    tokens_per_second: float
    allowed: float


class TooLittle(ValueError):
    """The history is too short or too full of holes to tell anything; the message says what is there and what it takes."""


def hourly(tokens: "pd.Series[float]") -> "pd.Series[float]":
    """Turn tokens by slot (UTC, NaN: unknown) into tokens per second of each hour's busiest slot; NaN unless all are known."""
    whole = tokens.sort_index().resample(f"{SLOT}s").sum(min_count=1).resample("h")
    return whole.max().where(whole.count() == HOUR // SLOT) / SLOT


def forecast(tokens: "pd.Series[float]", weeks: int, ceiling: Ceiling | None = None) -> Forecast:
    """Forecast so many weeks from tokens by slot (UTC; NaN or absent: unknown). Raises TooLittle."""
    demand = hourly(tokens)
    known = int(demand.notna().sum())
    if known < ENOUGH:
        raise TooLittle(f"{known // DAY} days are known whole; season and trend take {ENOUGH // DAY}")
    held = min(weeks, int(len(demand) * HELD_OUT) // WEEK) * WEEK
    before, after = demand.iloc[:-held], demand.iloc[-held:]
    if before.notna().sum() < 2 * WEEK or after.notna().sum() < WEEK // 2:
        raise TooLittle("too much of the last weeks, or of those before, is unknown to check a forecast on")
    tried = {scale: _check(before, after, scale) for scale in TRANSFORMS}
    scale = min(tried, key=lambda name: tried[name].error)
    first = demand.index[-1].normalize() + pd.Timedelta(days=7 - demand.index[-1].weekday())
    hours = pd.date_range(first, periods=weeks * WEEK, freq="h")
    drawn = _draws(demand, hours, scale).reshape(weeks, WEEK, DRAWS)
    means = np.median(drawn.mean(axis=1), axis=1)
    return Forecast(
        tuple(_week(hours[index * WEEK], drawn[index], ceiling) for index in range(weeks)),
        scale,
        float((means[-1] / means[0]) ** (1 / (weeks - 1)) - 1) if weeks > 1 and means[0] > 0 else 0.0,
        known,
        len(demand) - known,
        tried[scale],
    )


def _week(start: pd.Timestamp, drawn: Floats, ceiling: Ceiling | None) -> Week:
    breaks = None
    if ceiling is not None:
        above = np.where(drawn > ceiling.tokens_per_second, drawn, 0.0).sum(axis=0)
        breaks = float((above > ceiling.allowed * drawn.sum(axis=0)).mean())
    return Week(start, _band(np.quantile(drawn, 0.95, axis=0)), _band(drawn.max(axis=0)), breaks)


def _band(values: Floats) -> tuple[float, float, float]:
    low, middle, high = (float(value) for value in np.quantile(values, BAND))
    return low, middle, high


def _draws(demand: "pd.Series[float]", hours: pd.DatetimeIndex, scale: str) -> Floats:
    """Draw the demand of hours to come: one row each, one column per draw."""
    there, back = TRANSFORMS[scale]
    terms = DeterministicProcess(
        demand.index, constant=True, order=1, additional_terms=[Fourier(WEEK, ORDER)], drop=True
    )
    everything = terms.range(demand.index[0], hours[-1])
    known = demand.notna().to_numpy()
    inside = everything.iloc[: len(demand)][known]
    fitted = OLS(there(demand[known].to_numpy()), inside.to_numpy()).fit(cov_type="HAC", cov_kwds={"maxlags": DAY})
    random = np.random.default_rng(SEED)
    coefficients = random.multivariate_normal(fitted.params, fitted.cov_params(), DRAWS, method="eigh")
    days = -(-len(hours) // DAY)
    starts = random.integers(0, len(fitted.resid) - DAY + 1, (DRAWS, days))
    rest = fitted.resid[starts[:, :, None] + np.arange(DAY)].reshape(DRAWS, -1)[:, : len(hours)]
    drawn: Floats = back(everything.loc[hours].to_numpy() @ coefficients.T + rest.T)
    return drawn


def _check(before: "pd.Series[float]", after: "pd.Series[float]", scale: str) -> Backtest:
    """Tell `after` from `before`, and compare."""
    drawn = _draws(before, pd.DatetimeIndex(after.index), scale)
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
    return Backtest(
        len(truth) // WEEK,
        float(np.abs(truth - middle)[known].sum()) / total,
        float(np.abs(truth - repeated)[both].sum() / (np.abs(truth[both]).sum() or 1e-9)) if both.any() else None,
        float(np.median(peaks)),
        float(((low <= truth) & (truth <= high))[known].mean()),
    )

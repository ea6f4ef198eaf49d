"""Errors of demand forecasts on a recorded trace, by rolling origin: each day is forecast from all hours before it.

Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., 5.10. Pinball loss: 5.9, here over the mean demand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plimsoll.slo.calendar import HOUR, SLOT
from plimsoll.slo.capacity.forecast import BAND, DAILY, DAY, ENOUGH, TRANSFORMS, WEEKLY, Season, draws, hourly
from plimsoll.slo.capacity.forecast_models import Transform
from plimsoll.slo.capacity.simulator.trace_formats import Arrival
from plimsoll.slo.capacity.special_hours import USUAL, SpecialHours

Floats = NDArray[np.floating]
ENOUGH_DAYS = 3  # before the first origin: two to fit on, and one to choose the transform by


@dataclass(frozen=True, slots=True)
class ForecastErrors:
    """Errors over all forecast hours. `pinball` is the mean of the losses at 10, 50 and 90%, over the mean demand. Of the same hour
    before, which has no interval, pinball and coverage are None; `mape` is None where no hour had demand."""

    method: str
    hours: int
    mape: float | None
    wape: float
    pinball: float | None = None
    coverage: float | None = None


def tokens_by_slot(arrivals: Sequence[Arrival], start: float) -> "pd.Series[float]":
    """Return tokens by slot (UTC) of a trace that began at `start` (Unix seconds); slots without requests have 0, as all were recorded."""
    slots = [int((start + one.time) // SLOT) * SLOT for one in arrivals]
    index = pd.to_datetime(np.arange(min(slots), max(slots) + SLOT, SLOT), unit="s", utc=True)
    found = pd.Series(0.0, index)
    sums: pd.Series[float] = pd.Series([float(one.prompt + one.output) for one in arrivals]).groupby(slots).sum()
    found[pd.to_datetime(sums.index.to_numpy(), unit="s", utc=True)] = sums.to_numpy()
    return found


def rolling_errors(tokens: "pd.Series[float]", special: SpecialHours = USUAL) -> tuple[str, list[ForecastErrors]]:
    """Return the season of the model (day, or week once 21 days are known before an origin), and its errors beside those of the same
    hour before. Raises ValueError where the trace is too short."""
    demand = hourly(tokens).dropna()
    season = WEEKLY if len(demand) >= ENOUGH + DAY else DAILY
    first = ENOUGH if season is WEEKLY else ENOUGH_DAYS * DAY
    origins = range(first, len(demand) - DAY + 1, DAY)
    if not origins:
        raise ValueError(f"{len(demand)} whole hours are too few: {ENOUGH_DAYS + 1} days are needed")
    drawn = np.concatenate([_day(demand.iloc[:at], demand.iloc[at : at + DAY], special, season) for at in origins])
    truth = demand.iloc[first : first + len(drawn)]
    low, middle, high = (np.asarray(values) for values in np.quantile(drawn, BAND, axis=1))
    values = truth.to_numpy()
    losses = [_pinball(values, found, level) for found, level in zip((low, middle, high), BAND, strict=True)]
    coverage = float(((low <= values) & (values <= high)).mean())
    pinball = float(np.mean(losses)) / max(float(values.mean()), 1e-9)
    model = _errors("model", values, middle, pinball, coverage)
    return season.name, [model, _same_hour_before(demand, truth, special)]


def _day(before: "pd.Series[float]", after: "pd.Series[float]", special: SpecialHours, season: Season) -> Floats:
    """Draw the hours of a day, by the transform that would have been better on the day before."""
    earlier, last = before.iloc[:-DAY], before.iloc[-DAY:]

    def missed(transform: Transform) -> float:
        drawn = draws(earlier, pd.DatetimeIndex(last.index), transform, special, season)
        return float(np.abs(np.median(drawn, axis=1) - last.to_numpy()).sum())

    return draws(before, pd.DatetimeIndex(after.index), min(TRANSFORMS, key=missed), special, season)


def _same_hour_before(demand: "pd.Series[float]", truth: "pd.Series[float]", special: SpecialHours) -> ForecastErrors:
    """Forecast by what recommendations take for the usual load of an hour: that of the week before, or else of the day before."""
    numbers = [int(at.timestamp() // HOUR) for at in pd.DatetimeIndex(demand.index)]
    loads = dict(zip(numbers, demand.to_numpy().tolist(), strict=True))
    unusual = special.unusual(numbers[0], numbers[-1])
    usual = [unusual.usual(loads, int(at.timestamp() // HOUR)) for at in pd.DatetimeIndex(truth.index)]
    known = np.array([value is not None for value in usual])
    values = np.array([value for value in usual if value is not None])
    return _errors("same hour before", truth.to_numpy()[known], values)


def _errors(
    method: str, truth: Floats, found: Floats, pinball: float | None = None, coverage: float | None = None
) -> ForecastErrors:
    some, wrong = truth > 0, np.abs(truth - found)
    mape = float((wrong[some] / truth[some]).mean()) if some.any() else None
    return ForecastErrors(method, len(truth), mape, float(wrong.sum() / max(truth.sum(), 1e-9)), pinball, coverage)


def _pinball(truth: Floats, found: Floats, level: float) -> float:
    return float(np.maximum(level * (truth - found), (level - 1) * (truth - found)).mean())

"""Hours whose demand is unlike that of the same hours of other weeks: holidays, in the time zone of a pool."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plimsoll.slo.capacity.forecast_models import HolidayMethod
from plimsoll.slo.spec.holidays import Holidays

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
DAY, WEEK = 24, 168  # hours
SATURDAY, SUNDAY = 5, 6
ENOUGH = 20  # known hours of past holidays from which a holiday is forecast: nearly a day


@dataclass(frozen=True, slots=True)
class SpecialHours:
    """The holidays of a pool (None: none are known)."""

    holidays: Holidays | None = None

    def named(self, hours: pd.DatetimeIndex) -> Mapping[date, str]:
        """Return the holidays among the days of some hours, with their names, in order of time."""
        if self.holidays is None or not len(hours):
            return {}
        days = sorted(set(self._local(hours).date))
        names: dict[date, str] = {}
        for year in {day.year for day in days}:
            names |= self.holidays.named(year)
        return {day: names[day] for day in days if day in names}

    def on_holidays(self, hours: pd.DatetimeIndex) -> Flags:
        """Return which hours begin on a holiday."""
        days = self.named(hours)
        return np.array([day in days for day in self._local(hours).date], bool) if days else np.zeros(len(hours), bool)

    def method(self, demand: "pd.Series[float]") -> HolidayMethod:
        """Return what holidays are forecast from, given the history."""
        known = demand.notna().to_numpy() & self.on_holidays(pd.DatetimeIndex(demand.index))
        return "past_holidays" if known.sum() >= ENOUGH else "weekend_days"

    def like_weekends(self, hours: pd.DatetimeIndex, season: Floats) -> Floats:
        """Return the rows of seasonal terms, with those of holidays replaced by the mean of Saturday's and Sunday's same hour.

        Row `i` is of `hours[i]`, hour after hour; the terms repeat each week, and there is a week of them.
        """
        days, rows = self._local(hours).day_of_week.to_numpy(), season.copy()
        for at in np.flatnonzero(self.on_holidays(hours)):
            rows[at] = sum(season[(at + DAY * (day - days[at])) % WEEK] for day in (SATURDAY, SUNDAY)) / 2
        return rows

    def effect(self, hours: pd.DatetimeIndex, differences: Floats, wanted: pd.DatetimeIndex) -> Floats:
        """Return by how much holidays differ from weekends in `wanted` hours; 0 in hours of other days, and without past holidays.

        `differences` are those of past hours of holidays: their mean by hour of the day, or of all of them where there is none.
        """
        added, holiday = np.zeros(len(wanted)), self.on_holidays(wanted)
        if len(differences) >= ENOUGH and holiday.any():
            by_hour: Any = pd.Series(differences).groupby(self._local(hours).hour.to_numpy()).mean()
            of_day = by_hour.reindex(range(DAY)).fillna(differences.mean()).to_numpy()
            added[holiday] = of_day[self._local(wanted).hour.to_numpy()[holiday]]
        return added

    def _local(self, hours: pd.DatetimeIndex) -> pd.DatetimeIndex:
        return hours.tz_convert(self.holidays.timezone if self.holidays else "UTC")

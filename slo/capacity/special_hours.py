"""Hours whose demand is unlike that of the same hours of other weeks: holidays, in the time zone of a pool, and announced events."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from plimsoll.slo.capacity.forecast_models import HolidayMethod
from plimsoll.slo.capacity.usual_hours import NOTHING_UNUSUAL, UnusualHours
from plimsoll.slo.spec.event import AnnouncedEvent
from plimsoll.slo.spec.holidays import Holidays

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
DAY, WEEK = 24, 168  # hours
SATURDAY, SUNDAY = 5, 6
SECONDS = 3600  # of an hour
LEAST = 1e-9  # tokens per second: an idle hour has no median to scale
ENOUGH = 20  # known hours of past holidays from which a holiday is forecast: nearly a day


@dataclass(frozen=True, slots=True)
class SpecialHours:
    """The holidays of a pool (None: none are known), and its events."""

    holidays: Holidays | None = None
    events: tuple[AnnouncedEvent, ...] = ()
    tokens_per_request: float | None = None  # input and output

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

    def in_events(self, hours: pd.DatetimeIndex) -> Flags:
        """Return which hours an event touches."""
        found = np.zeros(len(hours), bool)
        for event in self.events:
            found |= _touched(event, hours)
        return found

    def ordinary(self, hours: pd.DatetimeIndex) -> Flags:
        """Return which hours are neither on a holiday nor touched by an event."""
        return ~(self.on_holidays(hours) | self.in_events(hours))

    def with_events(self, hours: pd.DatetimeIndex, drawn: Floats) -> Floats:
        """Return drawn demand, a row per hour in tokens per second, as announced: times a factor, or so that its median is a rate.

        A rate whose tokens aren't known changes nothing.
        """
        found = drawn.copy()
        for event in self.events:
            touched = _touched(event, hours)
            if event.factor is not None:
                found[touched] *= event.factor
            elif event.requests_per_second is not None and self.tokens_per_request is not None and touched.any():
                median = np.maximum(np.median(drawn[touched], axis=1), LEAST)
                found[touched] = (
                    drawn[touched] * (event.requests_per_second * self.tokens_per_request / median)[:, None]
                )
        return found

    def unusual(self, first: int, last: int) -> UnusualHours:
        """Return the unusual ones of some hours, by their number since 1970."""
        if self.holidays is None and not self.events:
            return NOTHING_UNUSUAL
        numbers = np.arange(first, last + 1)
        hours = pd.to_datetime(numbers * SECONDS, unit="s", utc=True)
        holidays, events = numbers[self.on_holidays(hours)], numbers[self.in_events(hours)]
        return UnusualHours(frozenset(holidays.tolist()), frozenset(events.tolist()))

    def method(self, demand: "pd.Series[float]") -> HolidayMethod:
        """Return what holidays are forecast from, given the history."""
        hours = pd.DatetimeIndex(demand.index)
        known = demand.notna().to_numpy() & self.on_holidays(hours) & ~self.in_events(hours)
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


def _touched(event: AnnouncedEvent, hours: pd.DatetimeIndex) -> Flags:
    """Return which hours an event touches: an hour counts by its busiest slot."""
    start = pd.Timestamp(event.start - SECONDS, unit="s", tz="UTC")
    return np.asarray((hours > start) & (hours < pd.Timestamp(event.end, unit="s", tz="UTC")))


USUAL = SpecialHours()

"""Which hours of the last week show the usual load of an hour to come: holidays are like weekend days, and hours of events show none."""

from collections.abc import Mapping
from dataclasses import dataclass

DAY, WEEK = 24, 168  # hours
MONDAY = 4  # days after which 1970-01-01, a Thursday, is followed by a Monday
WORKING_DAYS = 5


@dataclass(frozen=True, slots=True)
class UnusualHours:
    """Hours (their number since 1970) that are on holidays, and those of announced events."""

    holidays: frozenset[int] = frozenset()
    events: frozenset[int] = frozenset()

    def usual(self, loads: Mapping[int, float], hour: int) -> float | None:
        """Return the load of an hour from the same hour of the week before or else of the day before; None where neither is known.

        Where one of these days was a holiday or had an event, from the newest day of the last week that is of the same kind: a
        working day, or a weekend day or holiday.
        """
        if not self.holidays and not self.events:
            return loads.get(hour - WEEK, loads.get(hour - DAY))
        days = (hour - WEEK, *(hour - DAY * count for count in range(1, 7)))
        alike = (one for one in days if one not in self.events and self._off(one) == self._off(hour))
        return next((loads[one] for one in alike if one in loads), None)

    def _off(self, hour: int) -> bool:
        return hour in self.holidays or (hour // DAY - MONDAY) % 7 >= WORKING_DAYS


NOTHING_UNUSUAL = UnusualHours()

"""Hours of a pool as they were counted: requests, tokens, and misses as they would be on one node. From them, nodes for a week.

Misses fall as nodes rise: a burst that is dealt to twice the nodes is over in half the time, and a long prompt holds up half the
requests. They are taken to fall with the power EXPONENT of the nodes. On a week of recorded chat traffic (constant fleets of 1 to 16
nodes, docs/evidence/backtests.md) it was 0.9 to 1.3 below saturation and 1.8 to 2.2 at it; what was counted corrects it within hours,
as the number of nodes that is asked about is always near that which there was.
"""

from collections.abc import Sequence
from math import log

import msgspec

from plimsoll.slo.capacity.usual_hours import NOTHING_UNUSUAL, UnusualHours

HOUR = 3600.0  # seconds
DAY, WEEK = 24, 168  # hours
EXPONENT = 1.3
KNOWN_DAYS = 2  # after which hours of the day may be compared


class AttainedHour(msgspec.Struct, frozen=True):
    """What was counted in one hour of the clock: its number since 1970, observed seconds, requests, tokens that arrived, its misses
    times the nodes (per unit of load) to the power EXPONENT, and its misses as they were."""

    hour: int
    seconds: float
    requests: float
    tokens: float
    misses: float
    missed: float

    @property
    def load(self) -> float:
        """Return tokens per second."""
        return self.tokens / self.seconds


def add(hours: Sequence[AttainedHour], new: AttainedHour) -> tuple[AttainedHour, ...]:
    """Return the hours of the last week with more of the newest one."""
    old = [one for one in hours if new.hour - WEEK < one.hour <= new.hour]
    if old and old[-1].hour == new.hour:
        last = old.pop()
        names = ("seconds", "requests", "tokens", "misses", "missed")
        new = AttainedHour(new.hour, *(round(getattr(last, name) + getattr(new, name), 3) for name in names))
    return (*old, new)


def nodes_for(hours: Sequence[AttainedHour], allowed: float) -> float:
    """Return the nodes, not rounded, on which the ratio `allowed` of the requests of these hours would have missed their target."""
    requests, misses = sum(one.requests for one in hours), sum(one.misses for one in hours)
    return float((misses / (allowed * requests)) ** (1 / EXPONENT)) if requests else 0.0


def today(hours: Sequence[AttainedHour], now: float) -> tuple[float, float, float]:
    """Return the requests and misses of the day (UTC) so far, and the requests that are expected in what is left of it, at the rate of
    all hours."""
    day = now // (DAY * HOUR)
    counted = [one for one in hours if one.hour // DAY == day]
    rate = sum(one.requests for one in hours) / sum(one.seconds for one in hours)
    left = rate * ((day + 1) * DAY * HOUR - now)
    return sum(one.requests for one in counted), sum(one.missed for one in counted), left


def mean_load(hours: Sequence[AttainedHour]) -> float:
    """Return the tokens per second of these hours."""
    seconds = sum(one.seconds for one in hours)
    return sum(one.tokens for one in hours) / seconds if seconds else 0.0


def loads(hours: Sequence[AttainedHour]) -> dict[int, float]:
    """Return the tokens per second of each hour that had any."""
    return {one.hour: one.load for one in hours if one.tokens > 0}


def forecast(hours: Sequence[AttainedHour], hour: int, unusual: UnusualHours = NOTHING_UNUSUAL) -> float | None:
    """Return the usual load of an hour to come; None where hours of the day were no better forecasts of the last days than the hour
    before was."""
    by_hour = loads(hours)
    if not by_hour or max(by_hour) - min(by_hour) < KNOWN_DAYS * DAY:
        return None
    daily = hourly = 0.0
    for one, load in by_hour.items():
        if one - DAY in by_hour and one - 1 in by_hour:
            daily += abs(log(load / by_hour[one - DAY]))
            hourly += abs(log(load / by_hour[one - 1]))
    if daily >= hourly:
        return None
    return unusual.usual(by_hour, hour)

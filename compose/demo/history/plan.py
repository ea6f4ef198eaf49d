"""The course of the demo's past: its daily load, and what went wrong when. Times are days before the start, and hours of that day (UTC)."""

from math import pi, sin
from random import Random
from typing import NamedTuple

from plimsoll.slo.calendar import DAY, HOUR, SLOT

DAYS = 36  # five weeks, so that four whole ISO weeks have a review


class Incident(NamedTuple):
    """An incident of a pool: `kind` is one of plimsoll.compose.demo.history.measure.INCIDENTS; `slots` its length. `nodes` were recommended."""

    pool: str
    days_ago: int
    hour: float
    slots: int
    kind: str
    nodes: int = 0


CORRECTED = Incident("chat-70b", 16, 7.0, 1, "errors")  # its failed requests were a test client's
# Rejected and failed requests are few enough for the budget of a calendar month to last on each of its days (test_demo_history.py).
INCIDENTS = (
    Incident("chat-70b", 31, 14.0, 2, "overload", 4),
    Incident("chat-70b", 23, 15.5, 8, "overload", 4),
    Incident("chat-70b", 18, 9.0, 36, "long prompts", 3),
    Incident("chat-70b", 12, 10.5, 24, "replica lost", 3),
    Incident("chat-70b", 10, 20.0, 6, "overload"),  # a load test, which is excluded
    Incident("chat-70b", 8, 13.0, 2, "full cache", 5),
    CORRECTED,
    Incident("chat-70b", 3, 11.0, 1, "errors"),
    Incident("reasoning-70b", 15, 16.0, 5, "overload", 2),
    Incident("reasoning-70b", 5, 8.0, 6, "errors"),
    Incident("embedding", 20, 12.0, 4, "errors"),
    Incident("embedding", 4, 17.0, 1, "overload", 2),
)
ROLLOUT = ("chat-70b", 9, 2.0, 4)  # pool, days ago, hour, slots: its replicas restart one by one
UNOBSERVED = (17, 4.0, 24)  # days ago, hour, slots: the source was away


def load_at(at: float, start: float, random: Random) -> float:
    """Return the load at a moment (Unix seconds), as a multiple of the calm rate: a day's course, quiet weekends, growth of 1% a week."""
    hour = at % DAY / HOUR
    weekend = int(at // DAY + 3) % 7 >= 5  # day 0 of Unix time was a Thursday
    daytime = 0.35 + 0.6 * max(0.0, sin(pi * (hour - 6) / 14))
    growth = 1.01 ** ((at - start) / (7 * DAY))
    return float(daytime * (0.6 if weekend else 1.0) * growth * random.uniform(0.94, 1.06))


def begins(now: float, days_ago: int, hour: float) -> int:
    """Return the slot at an hour of a past day."""
    return int((now // DAY - days_ago) * DAY + hour * HOUR) // SLOT * SLOT

"""What scaling to zero would cost and save, on a pool's own arrivals: cold starts, requests that wait for one, and node-hours.

The last node stops once no request came for the idle time, and the next request starts one. All that come until it serves wait, so
something in front has to hold them. Time without data counts as running. How long requests run is left out: they end within the
idle time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import fsum, isfinite
from random import Random

from pydantic import BaseModel, ConfigDict, Field

from plimsoll.slo.calendar import SLOT, WEEK
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.spec.objectives import Pool

DAY, HOUR = 86400.0, 3600.0
OTHER_IDLE = (900.0, 3600.0)  # seconds, beside the pool's own stabilization time
POINTS = 50  # most moments of a slot, of equal weight: with more no gap of minutes is in it

Moment = tuple[float, float]  # seconds, and requests that came then
Slot = tuple[int, int | None]  # start in Unix seconds, and arrivals (None: not known)


@dataclass(frozen=True, slots=True)
class ZeroCost:
    """Cold starts, requests that waited for one, those of them that waited longer than allowed, and seconds without a node."""

    cold_starts: int = 0
    waiting: float = 0.0
    late: float = 0.0
    stopped_seconds: float = 0.0


class IdleOption(BaseModel):
    """What scaling to zero after an idle time means, per week."""

    model_config = ConfigDict(frozen=True)
    idle_seconds: float = Field(description="Without a request, after which the last node stops.")
    cold_starts: float
    waiting_requests: float = Field(description="That come while no node serves yet.")
    late_requests: float = Field(
        description="Those that wait longer than the time to first token of the latency target."
    )
    late_ratio: float | None = Field(description="Of all requests; null: there were none.")
    within_objective: bool | None = Field(description="Whether the late ones alone stay within the error budget.")
    saved_node_hours: float = Field(description="Of one node, in place of a minimum of one.")
    saved_usd: float | None = Field(description="null: the node has no price, is owned, or is reserved.")


class ScaleToZero(BaseModel):
    """Scaling to zero on the last week's arrivals, by idle time."""

    model_config = ConfigDict(frozen=True)
    observed_days: float = Field(description="Days of the last week with data.")
    requests: float = Field(description="Per week.")
    options: list[IdleOption]


def cold_starts(
    arrivals: Sequence[Moment], begin: float, end: float, idle: float, cold_start: float, allowed_wait: float
) -> ZeroCost:
    """Return what happens from `begin` to `end`, with a node running at `begin`. Arrivals are in order of time; times are in seconds.

    An arrival exactly at the end of the idle time or of the cold start finds a node.
    """
    count, waiting, late, stopped = 0, 0.0, 0.0, 0.0
    stops, serves = begin + idle, begin
    for at, requests in arrivals:
        if at > stops:
            count += 1
            stopped += at - stops
            serves = at + cold_start
        if at < serves:
            waiting += requests
            late += requests if serves - at > allowed_wait else 0.0
        stops = max(at, serves) + idle
    return ZeroCost(count, waiting, late, stopped + max(0.0, end - stops))


def scale_to_zero(pool: Pool, slots: Sequence[Slot], target: LatencyTarget | None) -> ScaleToZero | None:
    """Return what scaling to zero would have meant on a week's slots, in order; None with less than a day of data."""
    known = [(slot, arrived) for slot, arrived in slots if arrived is not None]
    seconds = float(len(known) * SLOT)
    if seconds < DAY:
        return None
    weeks, requests = seconds / WEEK, fsum(arrived for _, arrived in known)
    spans = [_moments(span) for span in _unbroken(known)]
    idles = sorted({float(pool.timing.scale_in_stabilization), *OTHER_IDLE})
    return ScaleToZero(
        observed_days=round(seconds / DAY, 2),
        requests=requests / weeks,
        options=[_option(pool, spans, idle, weeks, requests, target) for idle in idles],
    )


def _option(
    pool: Pool,
    spans: Sequence[tuple[list[Moment], float, float]],
    idle: float,
    weeks: float,
    requests: float,
    target: LatencyTarget | None,
) -> IdleOption:
    allowed = target.ttft if target is not None else float("inf")
    found = [cold_starts(*span, idle, pool.timing.cold_start, allowed) for span in spans]
    late, hours = fsum(one.late for one in found), fsum(one.stopped_seconds for one in found) / HOUR / weeks
    price = pool.node.usd_per_hour(1) - pool.node.usd_per_hour(0)
    ratio = late / requests if requests else None
    judged = target is not None and isfinite(target.ttft) and ratio is not None
    return IdleOption(
        idle_seconds=idle,
        cold_starts=fsum(one.cold_starts for one in found) / weeks,
        waiting_requests=fsum(one.waiting for one in found) / weeks,
        late_requests=late / weeks,
        late_ratio=ratio,
        within_objective=ratio <= 1 - target.target if judged and target and ratio is not None else None,
        saved_node_hours=hours,
        saved_usd=hours * price if price > 0 and pool.node.owned is None else None,
    )


def _unbroken(known: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Yield runs of slots without one missing between."""
    for _, run in groupby(enumerate(known), key=lambda item: item[1][0] - item[0] * SLOT):
        yield [slot for _, slot in run]


def _moments(span: Sequence[tuple[int, int]]) -> tuple[list[Moment], float, float]:
    """Return moments at which the requests of slots came, spread at random within each, with start and end of the span."""
    found: list[Moment] = []
    for slot, arrived in span:
        random = Random(slot)  # noqa: S311 - a simulation
        points = min(arrived, POINTS)
        found += sorted((slot + random.random() * SLOT, arrived / points) for _ in range(points))
    return found, float(span[0][0]), float(span[-1][0] + SLOT)

"""When the requests of a trace are sent: at their times, or, for a turn of a session, so long after the response to the turn before.

A turn can't be sent before the shortest of these delays has passed since a response. So the fleet runs ahead by that much at a time, and no turn
is missed. A session ends where a turn gets no response (rejected, or lost with its node): its later turns are never sent.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from math import inf

from plimsoll.slo.capacity.simulator.request import Request
from plimsoll.slo.capacity.simulator.trace_formats import Arrival

SHORTEST = (
    0.01  # seconds by which the fleet runs ahead at least: a turn without a delay may join a batch that much late
)


def in_order(
    arrivals: Sequence[Arrival], requests: Sequence[Request], look: Callable[[float], bool]
) -> Iterator[Request]:
    """Yield the requests of the arrivals (in order of time) as they are sent, a turn with its time of arrival. `look` runs the fleet up to a time
    and returns whether it has work left."""
    plain, follower = _linked(arrivals, requests)
    if not follower:
        yield from plain
        return
    ahead = max(SHORTEST, min(delay for _, delay in follower.values()))
    due: list[tuple[float, int, Request]] = []
    awaited: dict[Request, None] = {}
    tickets, seen = count(), 0.0
    while plain or due or awaited:
        first, turn = plain[0].arrival if plain else inf, due[0][0] if due else inf
        if awaited and min(first, turn) > seen + ahead:
            seen += ahead
            busy = look(seen)
            for request in [one for one in awaited if one.finished is not None]:
                following, delay = follower[request]
                following.arrival = (request.finished or 0.0) + delay
                heappush(due, (following.arrival, next(tickets), following))
                del awaited[request]
            if not busy:
                awaited.clear()
            continue
        if not awaited:
            seen = max(seen, min(first, turn))
        request = plain.popleft() if first <= turn else heappop(due)[2]
        if request in follower:
            awaited[request] = None
        yield request


def _linked(
    arrivals: Sequence[Arrival], requests: Sequence[Request]
) -> tuple[deque[Request], dict[Request, tuple[Request, float]]]:
    """Return the requests that are sent at their times, and of others (turn before) -> (turn, delay)."""
    plain, follower, last = deque[Request](), dict[Request, tuple[Request, float]](), dict[int, Request]()
    for arrival, request in zip(arrivals, requests, strict=True):
        if arrival.delay is None:
            plain.append(request)
        else:
            follower[last[arrival.session]] = request, arrival.delay
        if arrival.session:
            last[arrival.session] = request
    return plain, follower

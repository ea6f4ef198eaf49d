"""Runs the simulated engine over a list of requests and returns its steps."""

from math import inf

from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.request import Request, Step


def run(replica: Engine, requests: list[Request], longest_leap: float = inf) -> list[Step]:
    """Serve requests, given in order of arrival; a leap lasts `longest_leap` seconds at most."""
    coming, now, done = list(requests), 0.0, []
    while coming or replica.busy:
        if not replica.busy:
            now = max(now, coming[0].arrival)
        while coming and coming[0].arrival <= now:
            replica.add(coming.pop(0))
        step = replica.step(now, min(coming[0].arrival if coming else inf, now + longest_leap))
        assert step.end > now
        now = step.end
        done.append(step)
    return done

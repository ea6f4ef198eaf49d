"""One hour of one replica with a bad stretch of 144 s, and the exclusion that covers it."""

from plimsoll.slo.calendar import rfc3339
from world import Process, World

T0 = 1_700_000_100.0


NOW = T0 + 3600
INCIDENT = {"from": rfc3339(T0 + 2400), "to": rfc3339(T0 + 2544), "created_by": "ann", "reason": "load test"}


def world() -> World:
    """One hour of one replica: 1,000 requests, of which the 40 between minute 40 and 42 were bad."""
    requests = [(T0 + 3.6 * i, not 2400 < 3.6 * i <= 2544) for i in range(1000)]
    return World({"a": [Process(T0 - 86400, requests)]}, {"a": [T0 - 60 + 15 * i for i in range(246)]})

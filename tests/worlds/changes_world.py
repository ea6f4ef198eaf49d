"""What several test modules share of changes world."""

from plimsoll.slo.calendar import rfc3339
from service_world import T0

INCIDENT = {"from": rfc3339(T0 + 2400), "to": rfc3339(T0 + 2544), "created_by": "ann", "reason": "load test"}

"""Recorded identity: which pool a replica belongs to, and which target is an exporter, remembered while they are down.

A replica that is down exports no model, and an exporter that is down exports nothing. Each series reads its own last value, so that
an alert keeps its labels until the problem is fixed, however long that takes. What is removed on purpose is forgotten at once: a
replica that its exporter no longer lists, and a target that Prometheus no longer scrapes.
"""

from plimsoll.alerts.fleet import By
from plimsoll.alerts.rules import Recording
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import Spec

GAP = "1h"  # of a Prometheus that was down itself: identity survives it


def identity_recordings(spec: Spec) -> list[Recording]:
    """Return the labels of each replica and of each exporter when they were last seen."""
    info, exporter = (f"last_over_time({name}[{GAP}])" for name in (recorded.LAST_INFO, recorded.LAST_EXPORTER))
    return [
        Recording(
            recorded.LAST_INFO,
            f"group by ({By.of(spec).replica}) ({c.REPLICA_INFO})\n"
            f"or on (instance, replica) ({info} and on (instance, replica) {c.REPLICA_UP}\n"
            f"  or {info} and on (instance) up == 0)",
            {},
        ),
        Recording(
            recorded.LAST_EXPORTER,
            f"group by (job, instance) ({c.COLLECTOR_SUCCESS})\nor {exporter} and on (job, instance) up",
            {},
        ),
    ]

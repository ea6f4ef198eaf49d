"""The burn of an objective, attributed: read from the ledger what slo.attribution needs."""

from slo.attribution import LOSS_LASTS, Attribution, attribute
from slo.exclusions import stretches
from slo.ledger.pools import pool_rows
from slo.service.state import Service
from slo.spec import Objective


def attributed(service: Service, objective: Objective, start: float, end: float) -> Attribution:
    """Attribute the bad requests of the slots that begin within [start, end), without what is excluded."""
    excluded = stretches(service.exclusions(), objective)
    bad = {
        row.slot: row.total - row.good
        for row in service.ledger.slots(objective.id, start, end)
        if row.total > row.good and not any(low <= row.slot < high for low, high in excluded)
    }
    rows = pool_rows(service.ledger.engine, objective.pool, min(bad) - LOSS_LASTS, max(bad) + 1) if bad else []
    return attribute(objective, service.spec.pool(objective.pool), bad, rows)

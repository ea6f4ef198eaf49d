"""Prefill and decode engines of a pool, by the label `role` of llm_replica_info, and what no engine of such a pool can count."""

from collections.abc import Iterable
from typing import NamedTuple

from plimsoll.slo.metrics import REPLICA_INFO
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import Objective

PREFILL, DECODE = "prefill", "decode"


class NotCounted(NamedTuple):
    """Why an SLO isn't counted where it should be, and the fix."""

    message: str
    fix: str


def roles(series: Iterable[Series]) -> set[str]:
    """Return the roles that series of replicas name."""
    return {item.labels.get("role", "") for item in series if item.name == REPLICA_INFO.name} - {""}


def why_not(objective: Objective, found: Iterable[str]) -> NotCounted | None:
    """Return why engines with these roles can't count an SLO; None where they can, or where gateways count it."""
    if objective.count_at == "gateway" or not objective.indicator.spans_roles or not {PREFILL, DECODE} & set(found):
        return None
    message = (
        f"{objective.indicator}: prefill and decode run in engines of their own, and none sees a user's whole request."
    )
    if objective.indicator.at_gateways:
        return NotCounted(message, "Set count_at: gateway, and let the exporter read the gateway in front (--engine).")
    return NotCounted(message, "Use SLOs on its latencies with count_at: gateway.")

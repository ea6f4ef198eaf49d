"""Which default alerts a pool has by its kind: who waits for its answers, and whether it generates tokens."""

from collections.abc import Iterable
from dataclasses import replace

from plimsoll.alerts.rules import Alert
from plimsoll.slo.spec.objectives import Pool

# What a batch pool does by design: it fills its queue and its KV cache, and runs at its capacity.
_MEANT_IN_BATCH = frozenset(
    {
        *("LLMQueueDepthHigh", "LLMQueueGrowing", "LLMKVCacheUsageHigh", "LLMPoolNearCapacity", "LLMPoolMaxedOut"),
        *("LLMPoolOvercommitted", "LLMReplicaServingWhileCold"),
    }
)
# What needs generated tokens, or a cache of their keys and values.
_OF_GENERATION = frozenset(
    {
        *("LLMKVCacheUsageHigh", "LLMPreemptionRateHigh", "LLMPrefixCacheHitRatioDropped", "LLMReplicaStalled"),
        *(
            "LLMReplicaServingWhileCold",
            "LLMReplicaSlow",
            "LLMKVTransfersFailing",
            "LLMKVBlocksReused",
            "LLMRoleMissing",
        ),
        *("LLMPoolNearCapacity", "LLMPoolOvercommitted", "LLMWarmSpareMissing", "LLMTokenCostHigh"),
    }
)


def for_kind(pool: Pool, alerts: Iterable[Alert]) -> list[Alert]:
    """Return the alerts that make sense for a pool's kind. No user waits for a batch pool: what would page is a ticket.

    SLOs alert as for any pool: a deadline that is missed is what its owner asked to hear of.
    """
    if pool.kind == "batch":
        return [replace(one, severity="ticket") for one in alerts if one.name not in _MEANT_IN_BATCH]
    if pool.kind == "embedding":
        return [one for one in alerts if one.name not in _OF_GENERATION]
    return list(alerts)

"""The recommendation for a pool: the action, the rule that decided, the alternatives, the expected SLO attainment, and the cost.

One type: rules compute with it, the API returns it, the webhook posts it, and the ledger stores it.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from plimsoll.slo.capacity.model.timestamp import Timestamp
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.settings.models import SettingsAdvice

Action = Literal["scale_out", "scale_in", "hold", "insufficient_data"]
Rule = Literal[
    "error_budget",
    "attainment",
    "demand",
    "slo",
    "event",
    "queue",
    "kv_cache",
    "max_nodes",
    "min_nodes",
    "scale_in",
    "hold",
    "roles",
    "no_data",
]
Method = Literal["simulation", "queue_replay"]
ReasonCode = Literal[
    "source_unavailable",
    "error_budget_hours",
    "attainment_missed",
    "not_evaluated",
    "no_replica_reporting",
    "replicas_asleep",
    "nodes_pending",
    "roles_not_sized",
    "roles_within_capacity",
    "role_nodes_add",
    "role_nodes_remove",
    "role_above_limit",
    "role_within_limit",
    "demand_and_backlog",
    "demand_rising",
    "event_announced",
    "event_not_sized",
    "scale_in_blocked_event",
    "queue_replay",
    "budget_exhausted",
    "queue_depth",
    "kv_cache_usage",
    "kv_cache_no_data",
    "max_nodes",
    "min_nodes",
    "slo_missed",
    "scale_in_possible",
    "scale_in_simulated",
    "scale_in_not_simulated",
    "weakest_replicas",
    "scale_in_blocked_data",
    "scale_in_blocked_queue",
    "scale_in_blocked_demand",
    "scale_in_blocked_kv_cache",
    "scale_in_blocked_slo",
    "scale_in_blocked_turns",
    "pause_batch",
    "batch_pool_yields",
    "wake_replicas",
    "activate_warm_spares",
    "start_nodes",
    "restore_warm_spares",
    "spot_unknown",
    "spot_none",
    "spot_mix",
    "spot_added",
    "spot_cost",
]


class Reason(NamedTuple):
    """One reason: a code that stays the same, and a sentence for people."""

    code: ReasonCode
    text: str


@dataclass(frozen=True, slots=True)
class NodeRequirement:
    """Nodes that a rule requires (None: none). `reasons` are always shown; `shortfall` states why fewer nodes are insufficient."""

    rule: Rule
    nodes: int | None
    reasons: list[Reason]
    shortfall: str = ""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ExpectedAttainment(_Frozen):
    """SLO attainment (ratio of requests within target) if the recent traffic came again behind the current queue, with all nodes up.
    Null: not known, for `unavailable_reason`."""

    target: float | None = Field(default=None, description="Ratio that the pool's latency SLOs require.")
    current_nodes: float | None = Field(default=None, description="With the current nodes, pending ones included.")
    recommended_nodes: float | None = Field(default=None, description="With the recommended nodes.")
    method: Method | None = Field(
        default=None,
        description="simulation: requests through the engine model with the pool's step times. queue_replay: tokens through a queue "
        "that is served at the planning utilization of the measured saturation throughput.",
    )
    lookback_seconds: float | None = Field(default=None, description="Seconds of traffic that were replayed.")
    unavailable_reason: str | None = None


class Alternative(_Frozen):
    """Another number of nodes, and why it is not recommended."""

    nodes: int
    required_by: list[Rule] = Field(description="Rules that require exactly this number; another rule decided.")
    attainment: float | None = Field(description="As in `expected_attainment`.")
    usd_per_hour: float | None
    reason: str


class Cost(_Frozen):
    """USD per hour; null: the pool's node has no price, or the number of nodes is not known. Both sides use as many spot nodes as
    allowed."""

    usd_per_hour_current: float | None = None
    usd_per_hour_recommended: float | None = None
    usd_per_hour_difference: float | None = None


class RoleNodes(_Frozen):
    """Nodes of one role of a pool whose prefill and decode run in engines of their own."""

    role: str
    current_nodes: int
    recommended_nodes: int
    saturation_tokens_per_second_per_replica: float | None = Field(description="null: not measured yet.")


class PoolShare(_Frozen):
    """Share of a model's traffic that one of its pools gets, and should get."""

    pool: str
    capacity_tokens_per_second: float | None = Field(description="Saturation throughput of the replicas that report.")
    traffic_share: float | None = Field(description="Of the tokens that arrived in the last minute, 0 to 1.")
    weight: float | None = Field(description="For a gateway, 0 to 1: in proportion to capacity.")
    unavailable_reason: str | None = Field(description="Why no weight is known.")


class Recommendation(_Frozen):
    """How many nodes a pool should have, and why."""

    pool: str
    action: Action
    nodes: int = Field(description="Nodes to add or remove; 0 for hold.")
    current_nodes: int | None
    recommended_nodes: int | None
    roles: list[RoleNodes] = Field(
        default=[],
        description="Pools with prefill and decode engines: nodes of each role. Empty where an engine does both.",
    )
    model_shares: list[PoolShare] = Field(
        default=[],
        description="Where several pools of its kind serve its model: the traffic that each gets and should get.",
    )
    reasons: list[str] = Field(description="Sentences; the deciding one comes first.")
    reason_codes: list[ReasonCode] = Field(default=[], description="One code for each of `reasons`.")
    evidence: dict[str, Any] = Field(
        description="Inputs of the rules, for people. Once a replica was saturated: `saturation_tokens_per_second_new_replica`, "
        "`saturation_tokens_per_second_by_replica`, `saturation_source_by_replica` (measured, measured_earlier, pool_median, "
        "pool_common) and `saturation_tokens_per_second_total` of the replicas that report. `spot_mix` (pools with spot nodes): spot "
        "and on-demand nodes, those to add, `min_on_demand_nodes` (null: not known, so no spot nodes), and the price of both. "
        "`by_role` (pools with prefill and decode engines): replicas, waiting requests, KV cache usage and tokens/s of each role. "
        "`exhausted_slos`: SLOs for which more headroom is planned, as `planning_utilization` shows."
    )
    confidence: float = Field(description="0 to 1: data coverage of the replicas and of the last five minutes.")
    at: Timestamp
    simulated: bool = False
    rule: Rule | None = Field(
        default=None,
        description="The rule that decided. error_budget: the last week's requests, within the error budget; "
        "attainment: counted attainment below the target; demand: arrivals and backlog; slo: latency SLO on the recent traffic; event: an announced event; queue: waiting requests "
        "per node; kv_cache: KV cache usage; max_nodes, min_nodes: limits of the pool; scale_in: fewer nodes suffice; hold: no rule "
        "requires more and scale-in is blocked; roles: prefill and decode engines, each sized by itself; no_data: no data.",
    )
    expected_attainment: ExpectedAttainment = ExpectedAttainment()
    alternatives: list[Alternative] = Field(default=[], description="Other numbers of nodes, nearest first.")
    cost: Cost = Cost()
    settings: SettingsAdvice | None = Field(
        default=None, description="Changes of engine settings, beside one node more. null: no data."
    )


def no_data(
    pool: str, at: float, reason: Reason, target: LatencyTarget | None, evidence: dict[str, Any] | None = None
) -> Recommendation:
    """Return the recommendation for missing data: no change. `at` is in Unix seconds."""
    return Recommendation(
        pool=pool,
        action="insufficient_data",
        nodes=0,
        current_nodes=None,
        recommended_nodes=None,
        reasons=[reason.text],
        reason_codes=[reason.code],
        evidence=evidence or {},
        confidence=0.0,
        at=at,
        rule="no_data",
        expected_attainment=ExpectedAttainment(
            target=None if target is None else target.target, unavailable_reason=reason.text
        ),
    )

"""How many nodes a pool should have, and why: a pure function of live signals, the pool's limits, and the state of the last decision.

The largest number that any rule requires, never GPU utilization, which is near 100 % for healthy and saturated engines alike:

- the queue. Once a replica was saturated, its throughput is known: nodes serve the demand and clear the backlog within the time that a
  cold node takes, and would have met the latency SLO on the traffic of the last quarter of an hour. Before that, the source documents'
  rule: average waiting requests per node above the pool's limit. Warm spares follow that rule at any time: they serve in seconds, long
  before a cold node would.
- KV cache usage above the pool's limit for minutes (85 %, source documents).
- where prefill and decode run in engines of their own, each role by itself (`topology/roles.py`).
- pending nodes count as present. Warm spares are used first and replaced behind. Scale-in needs the whole stabilization window
  observed, and one node fewer must have been enough over all of it.
"""

from dataclasses import replace
from typing import NamedTuple

from plimsoll.slo.capacity.model.signals import SUSTAINED
from plimsoll.slo.capacity.recommendation.alternatives import alternatives, cost, expected
from plimsoll.slo.capacity.recommendation.announced import for_event
from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated
from plimsoll.slo.capacity.recommendation.error_budget.budget_loop import advance
from plimsoll.slo.capacity.recommendation.error_budget.loop_state import BudgetLoop
from plimsoll.slo.capacity.recommendation.expected_attainment import AttainmentEstimate
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState, rounded
from plimsoll.slo.capacity.recommendation.models import Action, NodeRequirement, Reason, Recommendation, no_data
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.proven_load import proven_load
from plimsoll.slo.capacity.recommendation.rules import evaluate_rules, limit
from plimsoll.slo.capacity.recommendation.scale_in import on_demand_need, scale_in, weakest
from plimsoll.slo.capacity.recommendation.settings.advice import advise
from plimsoll.slo.capacity.recommendation.spot import OnDemandNeed, mix
from plimsoll.slo.capacity.recommendation.texts import nodes, span
from plimsoll.slo.capacity.recommendation.topology.roles import by_role, has_roles


class Decision(NamedTuple):
    """A recommendation, and the state that the next decision needs; None where there was no data."""

    recommendation: Recommendation
    state: MeasuredState | None


def decide(
    case: PoolSnapshot, engine: Calibrated | None = None, state: MeasuredState | None = None, *, explain: bool = True
) -> Decision:
    """Decide for one snapshot, after the decision that left `state`. `engine` is the simulator's model of a replica (None: not known): with
    it, scale-in has to pass a simulation. `explain` False leaves out evidence, alternatives, expected attainment and changes of
    settings, which take longer than the decision: for backtests, which only follow it."""
    if not case.seen:
        reason = _nothing_seen(case)
        found = no_data(case.pool.name, case.now, reason, case.target, case.evidence())
        return Decision(found.model_copy(update={"simulated": case.simulated}), None)
    if has_roles(case):
        return Decision(*by_role(case, state))
    loop, estimate = advance(state.loop if state else None, case), AttainmentEstimate(case, engine)
    proven = proven_load(case, state.proven_load if state else None)
    required = evaluate_rules(case, estimate, loop, proven)
    decided = _decide(case, required, estimate, loop, proven)
    need = on_demand_need(case)
    count = decided.nodes or case.held
    found = _recommendation(case, required, decided, need)
    after = loop.after(state.recommended_nodes if state else case.held, count, case.now)
    advice = advise(estimate, state.settings if state else None) if explain else None
    throughput = rounded(case.plan.throughput) if case.plan else None
    new = MeasuredState(case.now, count, throughput, after, proven, settings=advice)
    if not explain:
        return Decision(found, new)
    explained = _explained(case, found, required, decided, need, estimate)
    return Decision(explained.model_copy(update={"settings": advice}), new)


def _nothing_seen(case: PoolSnapshot) -> Reason:
    """State why no replica shows its load."""
    if case.asleep and not case.unseen:
        text = f"No data: all replicas sleep ({', '.join(case.asleep)}). Wake one when requests come."
        return Reason("replicas_asleep", text)
    return Reason("no_replica_reporting", "No data: no replica has reported in the last minute. No change recommended.")


def _decide(
    case: PoolSnapshot,
    required: list[NodeRequirement],
    estimate: AttainmentEstimate,
    loop: BudgetLoop,
    proven: float | None,
) -> NodeRequirement:
    """Take the largest requirement, within the limits of the pool. If it doesn't exceed the current nodes, scale in if possible."""
    most = max(required, key=lambda one: one.nodes or 0)
    pending = f"{nodes(case.pending)} {'are' if case.pending != 1 else 'is'} starting and included."
    reasons = [Reason("nodes_pending", pending)] if case.pending else []
    if most.nodes is not None and most.nodes > case.held:
        count, rule = most.nodes, most.rule
    else:
        fewer = for_event(case, required, scale_in(case, estimate, loop, proven))
        count, rule = fewer.nodes or case.held, fewer.rule
        reasons += fewer.reasons
    limited = _within_load(case, limit(case.pool, count, rule))
    return replace(limited, reasons=reasons + limited.reasons)


def _within_load(case: PoolSnapshot, limited: NodeRequirement) -> NodeRequirement:
    """Hold where the maximum would remove nodes that somebody added beyond it while requests queue at them."""
    if limited.rule != "max_nodes" or not case.saturated or (limited.nodes or 0) >= case.held:
        return limited
    text = (
        f"{nodes(case.held)} are above the pool maximum of {nodes(case.pool.nodes.max)}, but {case.waiting:g} requests are waiting: "
        "none is removed before they are served. Raise the maximum, or add nothing by hand."
    )
    return NodeRequirement("max_nodes", case.held, [Reason("max_nodes", text)])


def _recommendation(
    case: PoolSnapshot, required: list[NodeRequirement], decided: NodeRequirement, need: OnDemandNeed
) -> Recommendation:
    """Return the decision with its reasons and its cost."""
    pool, count = case.pool, decided.nodes or case.held
    change = count - case.current
    action: Action = "scale_out" if change > 0 else "scale_in" if change < 0 else "hold"
    mixed, spot_reasons = mix(pool.node, count, max(0, change - case.asleep_nodes), need)
    steps = _steps(case, change) if change > 0 else weakest(case, count) if change < 0 else []
    # The deciding rule comes first, as phones show one line; a hold is decided by rules that require no more, so those come first.
    ordered = sorted([*required, decided], key=lambda one: one.rule != decided.rule or decided.rule == "hold")
    reasons = [*(reason for one in ordered for reason in one.reasons), *steps, *spot_reasons]
    return Recommendation(
        pool=pool.name,
        action=action,
        nodes=abs(change),
        current_nodes=case.current,
        recommended_nodes=count,
        reasons=[one.text for one in reasons],
        reason_codes=[one.code for one in reasons],
        evidence=mixed,
        confidence=round(len(case.seen) / case.there * min(1.0, case.kv_cache_observed_seconds / SUSTAINED), 2),
        at=case.now,
        simulated=case.simulated,
        # Nodes that an earlier decision removed may still be present.
        rule="scale_in" if action == "scale_in" and decided.rule == "hold" else decided.rule,
        cost=cost(case, count, need),
    )


def _explained(
    case: PoolSnapshot,
    found: Recommendation,
    required: list[NodeRequirement],
    decided: NodeRequirement,
    need: OnDemandNeed,
    estimate: AttainmentEstimate,
) -> Recommendation:
    """Add evidence, alternatives and expected attainment; and a reason where even the recommended nodes are expected to miss the SLO."""
    count = found.recommended_nodes or 0
    attainment, others = expected(case, estimate, count), alternatives(case, estimate, required, decided, need)
    broken = estimate.broken(count)
    missed = [Reason("slo_missed", f"Even {broken}.")] if broken else []
    added = {
        "reasons": [*found.reasons, *(one.text for one in missed)],
        "reason_codes": [*found.reason_codes, *(one.code for one in missed)],
        "expected_attainment": attainment,
        "evidence": case.evidence() | found.evidence | estimate.evidence(count),
        "alternatives": others,
    }
    return found.model_copy(update=added)


def _steps(case: PoolSnapshot, count: int) -> list[Reason]:
    """State in which order to add nodes: those that serve in seconds first, and of these the ones that are there anyway."""
    pool, steps = case.pool, []
    asleep = min(count, case.asleep_nodes)
    warm = min(count - asleep, pool.nodes.warm_spares)
    cold, ready = count - asleep - warm, span(pool.timing.warm_start)
    if asleep:
        names = ", ".join(case.asleep[: asleep * pool.node.replicas])
        steps.append(Reason("wake_replicas", f"Wake {names}: ready in about {ready}, if memory of its GPUs is free."))
    if warm:
        text = f"Activate {warm} warm spare{'s' * (warm > 1)}: ready in about {ready}."
        steps.append(Reason("activate_warm_spares", text))
    if cold:
        steps.append(Reason("start_nodes", f"Start {nodes(cold)}: ready in about {span(pool.timing.cold_start)}."))
    if warm:
        text = f"Start {warm} more node{'s' * (warm > 1)} to restore the warm spare{'s' * (warm > 1)}."
        steps.append(Reason("restore_warm_spares", text))
    return steps

"""How many nodes a pool should have, and why: a pure function of live signals and the pool's own limits.

The largest of what the rules ask for, never GPU utilization, which is near 100 % for healthy and saturated engines alike:

- the queue. Once a replica was seen working at its limit, its capacity is known: nodes are as many as serve what arrives
  and the backlog within the time a cold node takes, and as many as would have kept the objective on the traffic of the
  last quarter of an hour. Before that, the source documents' rule: average waiting per node above the pool's limit. Warm spares
  are asked for by that rule at any time: they serve in seconds, long before a cold node would.
- a KV cache above the pool's limit for minutes (85 %, source documents).
- nodes on their way count as if they were there. Warm spares are used first and replaced behind. A release needs the
  whole hold time observed, and one node fewer must have been enough over all of it.
"""

from dataclasses import replace

from plimsoll.slo.capacity.model.signals import SUSTAINED, ReplicaSignals
from plimsoll.slo.capacity.recommendation.alternatives import alternatives, cost, expected
from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.expected_attainment import ExpectedAttainment
from plimsoll.slo.capacity.recommendation.models import Action, Recommendation, nothing_known
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot, look
from plimsoll.slo.capacity.recommendation.rules import Ask, asks, limit
from plimsoll.slo.capacity.recommendation.scale_in import leaving, need, release
from plimsoll.slo.capacity.recommendation.spot import Need, mix
from plimsoll.slo.spec.objectives import Pool


def recommend(
    pool: Pool,
    replicas: tuple[ReplicaSignals, ...],
    now: float,
    promise: LatencyTarget | None = None,
    last: Recommendation | None = None,
    engine: Calibrated | None = None,
) -> Recommendation:
    """Decide for one pool at one moment (Unix seconds).

    `promise` is what capacity is planned for (None: only queue and KV cache are evaluated). `last` is the answer before this one: replicas
    beyond it that vanish were released; any other that cannot be seen is taken to be there, so that blindness never shrinks a pool.
    `engine` is what its replicas are to the simulator (None: not known): then nothing is released that fails in a trial.
    """
    return answer(look(pool, replicas, now, promise, last=last), engine)


def answer(case: PoolSnapshot, engine: Calibrated | None = None, *, explain: bool = True) -> Recommendation:
    """Decide in one situation. `explain` False leaves out what else could be done and what users would feel, which takes longer
    than to decide: for backtests, which only follow."""
    if not case.seen:
        reason = "no replica of this pool has been seen in the last minute: nothing is known, so nothing is changed"
        found = nothing_known(case.pool.name, case.now, reason, case.promise, case.evidence)
        return replace(found, simulated=case.simulated)
    asked, outlook = asks(case), ExpectedAttainment(case, engine)
    decided = _decide(case, asked, outlook)
    left = need(case)
    found = _written(case, asked, decided, left)
    if not explain:
        return found
    nodes = found.recommended_nodes or 0
    return replace(
        found,
        expected=expected(case, outlook, nodes),
        reasons=[*found.reasons, *_even_so(outlook, nodes)],
        evidence=found.evidence | outlook.sample(nodes),
        alternatives=alternatives(case, outlook, asked, decided, left),
    )


def _decide(case: PoolSnapshot, asked: list[Ask], outlook: ExpectedAttainment) -> Ask:
    """Take the largest that is asked for; where that is no more than there is, release what may be; keep to the pool's limits."""
    most = max(asked, key=lambda ask: ask.nodes or 0)
    reasons = [f"{case.pending} nodes are on their way and are counted"] if case.pending else []
    if most.nodes is not None and most.nodes > case.held:
        nodes, rule = most.nodes, most.rule
    else:
        released = release(case, outlook)
        nodes, rule = released.nodes or case.held, released.rule
        reasons += released.reasons
    limited = limit(case.pool, nodes, rule)
    return replace(limited, reasons=reasons + limited.reasons)


def _written(case: PoolSnapshot, asked: list[Ask], decided: Ask, left: Need) -> Recommendation:
    """Write down what was decided, with its reasons and its price."""
    pool, nodes = case.pool, decided.nodes or case.held
    change = nodes - case.current
    action: Action = "scale_out" if change > 0 else "scale_in" if change < 0 else "hold"
    mixed, on_spot = mix(pool.node, nodes, max(0, change), left)
    orders = _order(pool, change) if change > 0 else leaving(case, nodes) if change < 0 else []
    # What decided is told first, as pages and phones show one line; to hold is decided by none asking for more, so that comes first.
    said = sorted([*asked, decided], key=lambda ask: ask.rule != decided.rule or decided.rule == "hold")
    told = [*(reason for ask in said for reason in ask.reasons), *orders, *on_spot]
    observed = min(1.0, case.evidence["kv_observed_seconds"] / SUSTAINED)
    return Recommendation(
        *(pool.name, action, abs(change), case.current, nodes, told, case.evidence | mixed),
        confidence=round(len(case.seen) / case.there * observed, 2),
        at=case.now,
        simulated=case.simulated,
        # What was released before this answer may still be there.
        rule="scale_in" if action == "scale_in" and decided.rule == "hold" else decided.rule,
        cost=cost(case, nodes, left),
    )


def _even_so(outlook: ExpectedAttainment, nodes: int) -> list[str]:
    """Say where what is recommended is not expected to be enough: because something waits, is limited, or no rule knows of it."""
    broken = outlook.broken(nodes)
    return [f"even with {nodes} node{'s' * (nodes != 1)} {broken}"] if broken else []


def _order(pool: Pool, nodes: int) -> list[str]:
    """Say in which order to add: what serves in seconds first."""
    warm = min(nodes, pool.nodes.warm_spares)
    steps = []
    if warm:
        steps.append(f"activate {warm} warm spare{'s' * (warm > 1)} first: serving in about {pool.timing.warm_start}")
    if nodes > warm:
        steps.append(
            f"start {nodes - warm} cold node{'s' * (nodes - warm > 1)}: serving in about {pool.timing.cold_start}"
        )
    if warm:
        steps.append(f"start {warm} more behind, so that a warm spare stands by again")
    return steps

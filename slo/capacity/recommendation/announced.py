"""Nodes for an announced event: required a cold start before it begins until it ends. A smaller number is never recommended in that time."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from plimsoll.slo.capacity.recommendation.demand import PLANNING_UTILIZATION
from plimsoll.slo.capacity.recommendation.error_budget.attained_hours import HOUR, WEEK, loads, mean_load, nodes_for
from plimsoll.slo.capacity.recommendation.error_budget.loop_state import BudgetLoop
from plimsoll.slo.capacity.recommendation.models import NodeRequirement, Reason
from plimsoll.slo.capacity.recommendation.pool_snapshot import PoolSnapshot
from plimsoll.slo.capacity.recommendation.proven_load import recent_load
from plimsoll.slo.capacity.recommendation.texts import nodes
from plimsoll.slo.spec.event import AnnouncedEvent

AHEAD = 300.0  # seconds beside the cold start: until a scaler has followed, and requests are routed to the node


def announced(case: PoolSnapshot, loop: BudgetLoop, proven: float | None) -> list[NodeRequirement]:
    """Return what each event that is in progress or near requires; no number where the load or a node's throughput isn't known."""
    lead = case.pool.timing.cold_start + AHEAD
    near = [one for one in case.special.events if one.start - lead <= case.now < one.end]
    return [_requirement(event, expected_load(event, case, loop), case, loop, proven) for event in near]


def for_event(case: PoolSnapshot, required: Sequence[NodeRequirement], fewer: NodeRequirement) -> NodeRequirement:
    """Return a scale-in with no fewer nodes than an event requires."""
    floor = max((one.nodes or 0 for one in required if one.rule == "event"), default=0)
    count = fewer.nodes or case.held
    if floor <= count or count >= case.held:
        return fewer
    if floor < case.held:
        return replace(fewer, nodes=floor)
    text = f"No scale-in: an announced event requires {nodes(floor)}."
    return NodeRequirement("hold", case.held, [Reason("scale_in_blocked_event", text)])


def expected_load(event: AnnouncedEvent, case: PoolSnapshot, loop: BudgetLoop) -> float | None:
    """Return the tokens/s of an event until a node that is ordered now serves: of its requests, or a multiple of the usual load of these
    hours. Before it begins the recent load is usual where no past hour is known; within it only past hours are."""
    if event.requests_per_second is not None:
        found = case.demand
        return event.requests_per_second * (found.input_tokens + found.output_tokens) if found else None
    start = max(event.start, case.now)
    end = min(event.end, start + case.pool.timing.cold_start + AHEAD)
    first, last = int(start // HOUR), int(end // HOUR)
    unusual, known = case.special.unusual(first - WEEK, last), loads(loop.hours)
    usual = [load for hour in range(first, last + 1) if (load := unusual.usual(known, hour)) is not None]
    if not usual:
        before = [
            load for hour, load in known.items() if hour * HOUR + HOUR <= event.start and hour not in unusual.events
        ]
        usual = before[-1:] if case.now >= event.start else [recent_load(case.demand)] if case.demand else []
    return event.factor * max(usual) if usual and event.factor is not None else None


def _requirement(
    event: AnnouncedEvent, load: float | None, case: PoolSnapshot, loop: BudgetLoop, proven: float | None
) -> NodeRequirement:
    name, count = f"Event {event.name!r} ({event.expected})", load and _nodes(load, case, loop, proven)
    if load is None or not count:
        unknown = "the usual load of its hours" if load is None else "what a node serves"
        text = f"{name}: {unknown} isn't known. Add nodes for it by hand."
        return NodeRequirement("event", None, [Reason("event_not_sized", text)])
    text = f"{name}: {load:,.0f} tokens/s expected; {nodes(count)} required until it ends."
    return NodeRequirement("event", count, [Reason("event_announced", text)], text)


def _nodes(load: float, case: PoolSnapshot, loop: BudgetLoop, proven: float | None) -> int:
    """Return the nodes for a load: by the error budget, by the measured saturation throughput, or else as loads were served within the
    target. 0 where none is known."""
    found, plan = 0, case.plan
    if loop.decides and loop.allowed and (mean := mean_load(loop.hours)):
        found = ceil(nodes_for(loop.hours, loop.allowed) * load / mean)
    if plan is not None:
        return max(found, ceil(plan.demand.replicas_for(load) / case.pool.node.replicas))
    return found or (ceil(load / (PLANNING_UTILIZATION * proven)) if proven else 0)

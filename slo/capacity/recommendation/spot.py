"""Number of spot nodes of a pool: if all that may be reclaimed at once are lost, enough nodes remain for the SLO.

Spot capacity is reclaimed from many nodes at a time, within minutes. So the rest has to suffice without them: nodes that meet the SLO on
the recent traffic, serve the busiest minute of the stabilization window, hold its KV cache, and the pool's own minimum.
Nodes beyond that, to clear a backlog or because scale-in waits, may be spot nodes.
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from plimsoll.slo.capacity.recommendation.models import Reason
from plimsoll.slo.capacity.recommendation.texts import nodes as counted
from plimsoll.slo.spec.node_pricing import Node, Spot
from plimsoll.slo.units import percent_text

MIX = "spot_mix"  # evidence key


@dataclass(frozen=True, slots=True)
class OnDemandNeed:
    """Nodes that must remain when spot nodes are reclaimed; `nodes` is None where that is not known, for `unavailable_reason`."""

    nodes: int | None
    unavailable_reason: str = ""


def allowed(nodes: int, need: int, spot: Spot) -> int:
    """Return how many of `nodes` may be spot nodes, so that `need` remain when the ratio that may be reclaimed at once is."""
    most = floor(round(spot.max_share * nodes, 9))  # rounded to drop binary noise: 0.29 x 100 is 28.999...
    return next((count for count in range(most, 0, -1) if nodes - reclaimed(count, spot) >= need), 0)


def reclaimed(count: int, spot: Spot) -> int:
    """Return how many of `count` spot nodes may be reclaimed at once."""
    return ceil(round(spot.max_simultaneous_loss * count, 9))


def on_spot(node: Node, nodes: int, need: OnDemandNeed) -> int:
    """Return the number of spot nodes among `nodes`: as many as allowed, without reserved nodes."""
    if node.spot is None or need.nodes is None:
        return 0
    return min(allowed(nodes, need.nodes, node.spot), max(0, nodes - node.reserved_nodes))


def hourly(node: Node, nodes: int, need: OnDemandNeed) -> float | None:
    """Return the USD per hour of `nodes`, with as many spot nodes as allowed; None where they have no price."""
    if not node.hourly_usd:
        return None
    saved = 0.0 if node.spot is None else node.hourly_usd - node.spot.hourly_usd
    return node.usd_per_hour(nodes) - on_spot(node, nodes, need) * saved


def mix(node: Node, nodes: int, adding: int, need: OnDemandNeed) -> tuple[dict[str, Any], list[Reason]]:
    """Split `nodes` into spot and on-demand; `adding` of them are to be added. Empty if the pool has no spot nodes.

    Which present nodes are spot nodes is not known: so the spot nodes to add are a limit, beside that of all.
    """
    spot = node.spot
    if spot is None:
        return {}, []
    count = on_spot(node, nodes, need)
    added = min(adding, count)
    whole = node.usd_per_hour(nodes)
    cost = hourly(node, nodes, need) or 0.0
    found = {
        "spot": count,
        "on_demand": nodes - count,
        "add_spot_at_most": added,
        "add_on_demand_at_least": adding - added,
        "min_on_demand_nodes": need.nodes,
        "usd_per_hour": round(cost, 4),
        "usd_per_hour_all_on_demand": round(whole, 4),
        "saves_usd_per_hour": round(whole - cost, 4),
    }
    return {MIX: found}, [
        _mix_reason(spot, nodes, count, need),
        *_added_reason(adding, added, count),
        *_cost_reason(count, cost, whole),
    ]


def _mix_reason(spot: Spot, nodes: int, count: int, need: OnDemandNeed) -> Reason:
    if need.nodes is None:
        return Reason(
            "spot_unknown", f"Spot: none, as the required on-demand nodes are unknown: {need.unavailable_reason}."
        )
    limit = f"limit {percent_text(spot.max_share)}"
    if not count:
        return Reason(
            "spot_none", f"Spot: 0 of {counted(nodes)}; {need.nodes} must remain if all are reclaimed ({limit})."
        )
    lost = reclaimed(count, spot)
    left = f"if {lost} spot node{'s are' if lost != 1 else ' is'} reclaimed at once, {nodes - lost} remain (required {need.nodes})"
    return Reason("spot_mix", f"Spot: {count} of {counted(nodes)} ({limit}); {left}.")


def _added_reason(adding: int, added: int, count: int) -> list[Reason]:
    if not adding or not count:
        return []
    return [
        Reason(
            "spot_added",
            f"Add at most {added} of {counted(adding)} as spot, and no more than {count} spot nodes in total.",
        )
    ]


def _cost_reason(count: int, cost: float, whole: float) -> list[Reason]:
    if not count:
        return []
    return [Reason("spot_cost", f"${cost:.2f}/h instead of ${whole:.2f}/h all on demand.")]

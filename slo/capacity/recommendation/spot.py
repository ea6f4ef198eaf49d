"""How many of a pool's nodes may be on spot: as many as may vanish at once and leave on demand what the objective needs.

Spot capacity is taken back from many nodes at a time, in minutes. So what is left then has to do without them: the nodes that keep
the promise on the traffic lately, carry the busiest minute of the hold time, hold its KV cache, and the pool's own minimum.
What a pool has beyond that, to work off a backlog or because scale-in waits, may be on spot.
"""

from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from plimsoll.slo.spec.node_pricing import Node, Spot
from plimsoll.slo.units import percent_text

MIX = "mix"  # evidence of the answer


@dataclass(frozen=True, slots=True)
class Need:
    """Nodes that must be left when spot nodes vanish; `nodes` is None where that is not known, for the reason `why`."""

    nodes: int | None
    why: str = ""


def allowed(nodes: int, need: int, spot: Spot) -> int:
    """Return how many of `nodes` may be on spot, so that `need` are left when the share that may vanish at once does."""
    most = floor(round(spot.max_share * nodes, 9))  # rounded to drop binary noise: 0.29 x 100 is 28.999...
    return next((count for count in range(most, 0, -1) if nodes - vanishing(count, spot) >= need), 0)


def vanishing(count: int, spot: Spot) -> int:
    """Return how many of so many spot nodes may vanish at once."""
    return ceil(round(spot.max_simultaneous_loss * count, 9))


def on_spot(node: Node, nodes: int, need: Need) -> int:
    """Return how many of so many nodes should be on spot: as many as may, of those that are not paid around the clock anyway."""
    if node.spot is None or need.nodes is None:
        return 0
    return min(allowed(nodes, need.nodes, node.spot), max(0, nodes - node.kept))


def hourly(node: Node, nodes: int, need: Need) -> float | None:
    """Return the USD per hour of so many nodes, as many of them on spot as may be; None where they have no price."""
    if not node.hourly_usd:
        return None
    saved = 0.0 if node.spot is None else node.hourly_usd - node.spot.hourly_usd
    return node.usd_per_hour(nodes) - on_spot(node, nodes, need) * saved


def mix(node: Node, nodes: int, adding: int, need: Need) -> tuple[dict[str, Any], list[str]]:
    """Split `nodes`, of which `adding` are to be added, and say why; nothing where the pool has no spot nodes.

    Nobody tells how many of the present nodes are on spot already: so of those to add it is a limit, beside that of all.
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
        "needed_without_spot": need.nodes,
        "usd_per_hour": round(cost, 4),
        "usd_per_hour_all_on_demand": round(whole, 4),
        "saves_usd_per_hour": round(whole - cost, 4),
    }
    return {MIX: found}, [_said(spot, nodes, count, need), *_added(adding, added, count), *_priced(count, cost, whole)]


def _said(spot: Spot, nodes: int, count: int, need: Need) -> str:
    if need.nodes is None:
        return f"no spot nodes: what is needed without them is not known, {need.why}"
    vanish = vanishing(count, spot)
    left = f"{nodes - vanish} are left if {vanish} vanish at once, and {need.nodes} must be"
    limit = f"at most {percent_text(spot.max_share)} may be on spot"
    if not count:
        return f"no spot nodes of {nodes}: {need.nodes} must be left if they vanish at once, and {limit}"
    return f"{count} of {nodes} nodes on spot, {nodes - count} on demand: {left}; {limit}"


def _added(adding: int, added: int, count: int) -> list[str]:
    if not adding or not count:
        return []
    return [f"of the {adding} to add at most {added} on spot, and no more than {count} with those that are already"]


def _priced(count: int, cost: float, whole: float) -> list[str]:
    if not count:
        return []
    return [f"{cost:.2f} USD an hour instead of {whole:.2f} all on demand: saves {whole - cost:.2f}"]

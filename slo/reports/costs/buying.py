"""Buying nodes against renting them, with the hours that a pool's nodes ran in a week.

The n-th node runs only while n nodes do, so each has its own utilization. It is cheaper bought where it runs for a larger share of the time than
its cost per hour, owned, over its rent per hour.
"""

from collections.abc import Sequence
from math import ceil, fsum

from pydantic import BaseModel, Field

from plimsoll.slo.calendar import WEEK
from plimsoll.slo.capacity.model.prices import SECONDS_PER_HOUR
from plimsoll.slo.spec.node_pricing import HOURS_PER_YEAR, Node
from plimsoll.slo.usage.slots import PoolSlot

HOURS_PER_WEEK = WEEK / SECONDS_PER_HOUR


class Buying(BaseModel):
    """What buying nodes by `node.purchase` would change, if every week were like this one. What wasn't observed is taken as like the rest."""

    break_even_utilization: float = Field(
        description="Share of the time from which a node is cheaper bought than rented. Above 1: never."
    )
    utilizations: list[float] = Field(description="Of the first node, the second, ...: share of the time that it ran.")
    nodes: int = Field(description="Nodes that are cheaper bought.")
    rented_usd_per_week: float = Field(description="Cost of a week with every node rented.")
    mixed_usd_per_week: float = Field(description="Cost of a week with these nodes bought, and the others rented.")
    payback_years: float | None = Field(
        description="Purchase price over the yearly rent that is saved, less the running cost. `null`: no node is cheaper bought."
    )


def buying(node: Node, rows: Sequence[PoolSlot]) -> Buying | None:
    """Return the comparison; None without an offer, a rent, or a slot with known nodes."""
    known = [(row.nodes, row.covered_seconds) for row in rows if row.nodes is not None]
    if node.purchase is None or not node.hourly_usd or not (watched := fsum(seconds for _, seconds in known)):
        return None
    utilizations = [
        fsum(min(1.0, max(0.0, nodes - index)) * seconds for nodes, seconds in known) / watched
        for index in range(ceil(max(nodes for nodes, _ in known)))
    ]
    even = node.purchase.usd_per_hour / node.hourly_usd
    bought = [one for one in utilizations if one > even]
    yearly = node.purchase.usd_per_year()
    saved = node.hourly_usd * HOURS_PER_YEAR * fsum(bought) - len(bought) * (yearly["total"] - yearly["hardware"])
    rented = fsum(utilizations[len(bought) :]) * node.hourly_usd
    return Buying(
        break_even_utilization=even,
        utilizations=utilizations,
        nodes=len(bought),
        rented_usd_per_week=fsum(utilizations) * node.hourly_usd * HOURS_PER_WEEK,
        mixed_usd_per_week=(len(bought) * node.purchase.usd_per_hour + rented) * HOURS_PER_WEEK,
        payback_years=len(bought) * node.purchase.capex_usd / saved if bought else None,
    )

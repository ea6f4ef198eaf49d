"""A node of a pool and its cost in US dollars per hour: on demand, on spot, reserved for a term, or bought."""

from math import isclose
from typing import Annotated

import msgspec

from plimsoll.slo.units import Target

HOURS_PER_YEAR = 8760
Usd = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class OwnedHardware(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Owned hardware: the components of its cost (source document G, section 6).

    `capex_usd` over `amortization_years`; `power_kw` at the plug of the servers, times `pue` for cooling, at
    `electricity_usd_per_kwh`; `colocation_usd_per_year` and `staff_usd_per_year`. The opportunity cost of the team isn't included.
    """

    capex_usd: Usd
    amortization_years: Annotated[float, msgspec.Meta(gt=0, le=100)]
    power_kw: Annotated[float, msgspec.Meta(ge=0, le=1e6)]
    pue: Annotated[float, msgspec.Meta(ge=1, le=10)]
    electricity_usd_per_kwh: Annotated[float, msgspec.Meta(ge=0, le=1e3)]
    colocation_usd_per_year: Usd = 0.0
    staff_usd_per_year: Usd = 0.0

    def usd_per_year(self) -> dict[str, float]:
        """Return the cost of each component in USD per year, and their sum as `total`."""
        parts = {
            "hardware": self.capex_usd / self.amortization_years,
            "power": self.power_kw * self.pue * HOURS_PER_YEAR * self.electricity_usd_per_kwh,
            "colocation": self.colocation_usd_per_year,
            "people": self.staff_usd_per_year,
        }
        return {**parts, "total": sum(parts.values())}

    @property
    def usd_per_hour(self) -> float:
        """Total cost in USD per hour, used or not."""
        return self.usd_per_year()["total"] / HOURS_PER_YEAR


Positive = Annotated[int, msgspec.Meta(ge=1)]


class Spot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Spot nodes, which the provider may reclaim at any time: USD per hour, the largest share of a pool's nodes that may be spot,
    and the share of these that may be reclaimed at once (default: all)."""

    hourly_usd: Usd
    max_share: Target
    max_simultaneous_loss: Target = Target(1.0)


class Reserved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes that are paid for around the clock, running or not (reserved for a term, or bought): their number, and USD per hour of
    each (default: as any other node of the pool)."""

    nodes: Positive
    hourly_usd: Usd | None = None


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node of a pool: GPU type, number of GPUs, engine replicas per node, and price in USD per hour on demand and on spot.

    `owned` is the cost of a bought node by component; `hourly_usd` is then computed from it. `reserved` are the first nodes
    of the pool; only nodes beyond them are on demand or on spot. `purchase` is an offer to buy a node, which the weekly review compares
    with renting.
    """

    gpu: str
    gpus: Positive
    replicas: Positive = 1
    hourly_usd: Usd = 0.0
    spot: Spot | None = None
    owned: OwnedHardware | None = None
    reserved: Reserved | None = None
    purchase: OwnedHardware | None = None

    def __post_init__(self) -> None:
        if self.owned is not None:
            own = self.owned.usd_per_hour
            if self.hourly_usd and not isclose(self.hourly_usd, own):
                raise ValueError(
                    f"hourly_usd {self.hourly_usd:g} is not the {own:g} that owned comes to; leave one of them out"
                )
            msgspec.structs.force_setattr(self, "hourly_usd", own)
        if self.purchase is not None and (self.owned is not None or not self.hourly_usd):
            raise ValueError("purchase is compared with renting. Write hourly_usd, and leave owned out")
        if self.spot is not None and self.spot.hourly_usd >= self.hourly_usd:
            raise ValueError(
                f"spot: hourly_usd {self.spot.hourly_usd:g} is not below {self.hourly_usd:g} on demand; "
                "write both prices, or leave spot out"
            )
        if self.reserved is not None and (self.reserved.hourly_usd or 0.0) > self.hourly_usd:
            raise ValueError(
                f"reserved: hourly_usd {self.reserved.hourly_usd:g} is above {self.hourly_usd:g} on demand; write both prices"
            )

    @property
    def reserved_nodes(self) -> int:
        """Number of nodes that are paid for around the clock."""
        return 0 if self.reserved is None else self.reserved.nodes

    @property
    def reserved_usd(self) -> float:
        """USD per hour of all reserved nodes."""
        if self.reserved is None:
            return 0.0
        each = self.reserved.hourly_usd
        return self.reserved.nodes * (self.hourly_usd if each is None else each)

    def usd_per_hour(self, nodes: float) -> float:
        """Return the cost of `nodes` running nodes in USD per hour, none on spot. Reserved nodes always count; the rest is on demand."""
        return self.reserved_usd + max(0.0, nodes - self.reserved_nodes) * self.hourly_usd

    def usd_per_hour_promql(self, nodes: str) -> str:
        """Return `usd_per_hour` as PromQL; `nodes` is an expression for the running nodes."""
        if self.reserved is None:
            return f"{self.hourly_usd:g} * ({nodes})"
        return f"({self.reserved_usd:g} + {self.hourly_usd:g} * clamp_min({nodes} - {self.reserved_nodes}, 0))"

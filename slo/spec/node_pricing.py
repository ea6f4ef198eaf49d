"""A node of a pool and what so many of them cost an hour: on demand, on spot, reserved for a term, or bought. US dollars."""

from math import isclose
from typing import Annotated

import msgspec

from plimsoll.slo.units import Target

HOURS_PER_YEAR = 8760
Usd = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class OwnedHardware(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hardware that is bought: the five components of its cost (source document G, section 6).

    `capex_usd` over `years`; `power_kw` at the plug of the servers, times `pue` for cooling, at `electricity_usd_per_kwh`;
    `colocation_usd_per_year` and `staff_usd_per_year` a year. What the team would have built instead is the reader's to evaluate: no number.
    """

    capex_usd: Usd
    years: Annotated[float, msgspec.Meta(gt=0, le=100)]
    power_kw: Annotated[float, msgspec.Meta(ge=0, le=1e6)]
    pue: Annotated[float, msgspec.Meta(ge=1, le=10)]
    electricity_usd_per_kwh: Annotated[float, msgspec.Meta(ge=0, le=1e3)]
    colocation_usd_per_year: Usd = 0.0
    staff_usd_per_year: Usd = 0.0

    def usd_per_year(self) -> dict[str, float]:
        """Yearly cost of each component, and of all as `total`."""
        parts = {
            "hardware": self.capex_usd / self.years,
            "power": self.power_kw * self.pue * HOURS_PER_YEAR * self.electricity_usd_per_kwh,
            "colocation": self.colocation_usd_per_year,
            "people": self.staff_usd_per_year,
        }
        return {**parts, "total": sum(parts.values())}

    @property
    def usd_per_hour(self) -> float:
        """All of it by the hour, used or not."""
        return self.usd_per_year()["total"] / HOURS_PER_YEAR


Positive = Annotated[int, msgspec.Meta(ge=1)]


class Spot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes that are cheaper as they may be taken back at any time: USD per hour, the largest share of a pool's nodes that may be
    such, and the share of these that may vanish at once (all, if not said)."""

    hourly_usd: Usd
    max_share: Target
    max_simultaneous_loss: Target = Target(1.0)


class Reserved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes that are paid around the clock whether they run or not, as reserved for a term or bought: how many, and USD per hour of
    each (as any other node of the pool, if not said)."""

    nodes: Positive
    hourly_usd: Usd | None = None


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node of a pool: GPU type, GPUs, engine replicas that it runs, price in USD per hour on demand, and on spot if it may be.

    `owned` is what a bought node costs, by component; `hourly_usd` is then worked out from it. `reserved` are the first nodes
    of the pool; only those beyond are bought by the hour or run on spot.
    """

    gpu: str
    gpus: Positive
    replicas: Positive = 1
    hourly_usd: Usd = 0.0
    spot: Spot | None = None
    owned: OwnedHardware | None = None
    reserved: Reserved | None = None

    def __post_init__(self) -> None:
        if self.owned is not None:
            own = self.owned.usd_per_hour
            if self.hourly_usd and not isclose(self.hourly_usd, own):
                raise ValueError(
                    f"hourly_usd {self.hourly_usd:g} is not the {own:g} that owned comes to; leave one of them out"
                )
            msgspec.structs.force_setattr(self, "hourly_usd", own)
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
    def kept(self) -> int:
        """Nodes that are paid around the clock."""
        return 0 if self.reserved is None else self.reserved.nodes

    @property
    def kept_usd(self) -> float:
        """USD per hour of all nodes that are paid around the clock."""
        if self.reserved is None:
            return 0.0
        each = self.reserved.hourly_usd
        return self.reserved.nodes * (self.hourly_usd if each is None else each)

    def usd_per_hour(self, nodes: float) -> float:
        """Cost of so many running nodes, none of them on spot: the reserved ones in any case, and those beyond on demand."""
        return self.kept_usd + max(0.0, nodes - self.kept) * self.hourly_usd

    def usd_per_hour_promql(self, nodes: str) -> str:
        """The same in PromQL, of an expression for the running nodes."""
        if self.reserved is None:
            return f"{self.hourly_usd:g} * ({nodes})"
        return f"({self.kept_usd:g} + {self.hourly_usd:g} * clamp_min({nodes} - {self.kept}, 0))"

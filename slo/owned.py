"""What hardware that is bought costs by year and hour: the components of its cost. US dollars."""

from typing import Annotated

import msgspec

HOURS_PER_YEAR = 8760
Usd = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class Owned(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hardware that is bought: the five components of its cost (source document G, section 6).

    `capex_usd` over `years`; `kilowatts` at the plug of the servers, times `pue` for cooling, at `usd_per_kwh`;
    `colocation_usd` and `people_usd` a year. What the team would have built instead is the reader's to judge: no number.
    """

    capex_usd: Usd
    years: Annotated[float, msgspec.Meta(gt=0, le=100)]
    kilowatts: Annotated[float, msgspec.Meta(ge=0, le=1e6)]
    pue: Annotated[float, msgspec.Meta(ge=1, le=10)]
    usd_per_kwh: Annotated[float, msgspec.Meta(ge=0, le=1e3)]
    colocation_usd: Usd = 0.0
    people_usd: Usd = 0.0

    def usd_per_year(self) -> dict[str, float]:
        """Yearly cost of each component, and of all as `total`."""
        parts = {
            "hardware": self.capex_usd / self.years,
            "power": self.kilowatts * self.pue * HOURS_PER_YEAR * self.usd_per_kwh,
            "colocation": self.colocation_usd,
            "people": self.people_usd,
        }
        return {**parts, "total": sum(parts.values())}

    @property
    def usd_per_hour(self) -> float:
        """All of it by the hour, used or not."""
        return self.usd_per_year()["total"] / HOURS_PER_YEAR

"""What tokens cost: by node price and use, by owned hardware over its life, and where an API would be cheaper.

US dollars throughout; a million is 10^6 tokens, a year 8,760 hours.
"""

from dataclasses import dataclass
from math import ceil, inf

MILLION = 1_000_000
SECONDS_PER_HOUR = 3600
HOURS_PER_YEAR = 8760


def nodes_for(rate: float, node_rate: float, spares: int = 0) -> int:
    """Nodes that carry `rate` (tokens or requests per second) at `node_rate` each, and the spares beside them."""
    return ceil(rate / node_rate) + spares


def usd_per_million(usd_per_hour: float, tokens_per_second: float, utilisation: float = 1.0) -> float:
    """Price of a million tokens on hardware that does `tokens_per_second` when full and is used to this ratio.

    Idle hardware has no price per token: infinite. Raises ValueError for a ratio outside 0 to 1.
    """
    if not 0 <= utilisation <= 1:
        raise ValueError(f"utilisation {utilisation:g}: a ratio from 0 to 1")
    millions = tokens_per_second * utilisation * SECONDS_PER_HOUR / MILLION
    return usd_per_hour / millions if millions else inf


@dataclass(frozen=True, slots=True)
class Owned:
    """Hardware that is bought: the five components of its cost (source document G, section 6).

    `capex_usd` over `years`; `kilowatts` at the plug of the servers, times `pue` for cooling, at `usd_per_kwh`;
    `colocation_usd` and `people_usd` a year. What the team would have built instead is the reader's to judge: no number.
    """

    capex_usd: float
    years: float
    kilowatts: float
    pue: float
    usd_per_kwh: float
    colocation_usd: float
    people_usd: float

    def usd_per_year(self) -> dict[str, float]:
        """Yearly cost of each component, and of all as `total`."""
        parts = {
            "hardware": self.capex_usd / self.years,
            "power": self.kilowatts * self.pue * HOURS_PER_YEAR * self.usd_per_kwh,
            "colocation": self.colocation_usd,
            "people": self.people_usd,
        }
        return {**parts, "total": sum(parts.values())}


def rented_usd_per_year(usd_per_gpu_hour: float, gpus: int, people_usd: float = 0.0) -> float:
    """Yearly cost of GPUs that are rented or reserved around the clock, and of the people who run them."""
    return usd_per_gpu_hour * HOURS_PER_YEAR * gpus + people_usd


def blended(usd_per_million_in: float, usd_per_million_out: float, share_in: float) -> float:
    """Price of a million tokens of an API of which this share (0 to 1) are prompt."""
    return usd_per_million_in * share_in + usd_per_million_out * (1 - share_in)


def break_even_tokens(usd_per_year: float, api_usd_per_million: float) -> float:
    """Tokens a year from which a fixed yearly cost undercuts an API; infinite for one that is free."""
    return usd_per_year / api_usd_per_million * MILLION if api_usd_per_million else inf


def break_even_utilisation(usd_per_million_full: float, api_usd_per_million: float, surcharge: float = 0.0) -> float:
    """Utilisation from which own hardware undercuts an API: above 1 never.

    `usd_per_million_full` is its price when full, `surcharge` (0.3 = 30 %) what people, downtime and updates add.
    """
    return usd_per_million_full * (1 + surcharge) / api_usd_per_million if api_usd_per_million else inf

"""What tokens cost by node price and use, and where an API would be cheaper. Owned hardware: slo.owned.

US dollars throughout; a million is 10^6 tokens, a year 8,760 hours.
"""

from math import ceil, inf

from slo.owned import HOURS_PER_YEAR

MILLION = 1_000_000
SECONDS_PER_HOUR = 3600


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

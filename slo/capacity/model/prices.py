"""Prices on record, each with source and date: what APIs ask for 1M tokens, and what an hour of a GPU costs to rent, in US dollars."""

import datetime
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import ceil, inf
from typing import Annotated, Any, TypeVar

import msgspec

from plimsoll.slo import strict_yaml
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.spec.node_pricing import HOURS_PER_YEAR
from plimsoll.slo.units import printable

Usd = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
ApiName = Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
T = TypeVar("T")
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ApiPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an API asks for 1M prompt tokens and for 1M generated ones; `date` is when that was read or agreed."""

    usd_per_million_input_tokens: Usd
    usd_per_million_output_tokens: Usd
    source: Text
    date: datetime.date

    def usd(self, prompt: int, generated: int) -> float:
        """Return the price of these input and output tokens in USD."""
        return (self.usd_per_million_input_tokens * prompt + self.usd_per_million_output_tokens * generated) / MILLION

    def usd_per_million(self, share_in: float) -> float:
        """Return the price of 1M tokens in USD; `share` (0 to 1) of them are input tokens."""
        return blended(self.usd_per_million_input_tokens, self.usd_per_million_output_tokens, share_in)


class GpuPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an hour of a GPU costs to rent (low, high)."""

    usd_per_hour: tuple[Usd, Usd]
    source: Text
    date: datetime.date

    def __post_init__(self) -> None:
        low, high = self.usd_per_hour
        if low > high:
            raise ValueError(f"usd_per_hour: {low:g} to {high:g}; write the lower price first")


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices by name of the API and by GPU type."""

    apis: dict[str, ApiPrice]
    gpus: dict[str, GpuPrice]

    def api(self, name: str) -> ApiPrice:
        """Return an API's price; raises ValueError that lists the known names."""
        if name not in self.apis:
            raise ValueError(f"compare_api {name!r}: unknown API. Use one of: {', '.join(self.apis)}.")
        return self.apis[name]


@cache
def packaged() -> Prices:
    """Return the prices that Plimsoll brings along."""
    return _read((files("plimsoll.slo") / "data" / "prices.yaml").read_text(encoding="utf-8"))


def overridden(text: str) -> Prices:
    """Put a file of a user's own prices, in the form of prices.yaml, before the packaged ones; raises ValueError that names path and fix, InvalidYamlError."""
    own, ours = _read(text), packaged()
    for name in own.gpus:
        if name not in memory.gpus():
            raise ValueError(f"gpus.{name}: is not a known GPU; known are {', '.join(memory.gpus())}")
    return Prices({**ours.apis, **own.apis}, {**ours.gpus, **own.gpus})


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A file of raw entries by name."""

    apis: dict[ApiName, Any] = {}
    gpus: dict[str, Any] = {}


def _read(text: str) -> Prices:
    written = _converted(strict_yaml.load(text), _Written, "")
    return Prices(
        {name: _converted(entry, ApiPrice, f"apis.{name}") for name, entry in written.apis.items()},
        {name: _converted(entry, GpuPrice, f"gpus.{name}") for name, entry in written.gpus.items()},
    )


def _converted(data: object, kind: type[T], where: str) -> T:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        at = where + path.partition("$")[2].rstrip("`")
        raise ValueError(printable(f"{at.lstrip('.') or 'top level'}: {message}")) from error


MILLION = 1_000_000
SECONDS_PER_HOUR = 3600


def nodes_for(rate: float, node_rate: float, spares: int = 0) -> int:
    """Nodes that carry `rate` (tokens or requests per second) at `node_rate` each, and the spares beside them."""
    return ceil(rate / node_rate) + spares


def usd_per_million(usd_per_hour: float, tokens_per_second: float, utilization: float = 1.0) -> float:
    """Price of a million tokens on hardware that does `tokens_per_second` when full and is used to this ratio.

    Idle hardware has no price per token: infinite. Raises ValueError for a ratio outside 0 to 1.
    """
    if not 0 <= utilization <= 1:
        raise ValueError(f"utilization {utilization:g}: a ratio from 0 to 1")
    millions = tokens_per_second * utilization * SECONDS_PER_HOUR / MILLION
    return usd_per_hour / millions if millions else inf


def rented_usd_per_year(usd_per_gpu_hour: float, gpus: int, staff_usd_per_year: float = 0.0) -> float:
    """Yearly cost of GPUs that are rented or reserved around the clock, and of the people who run them."""
    return usd_per_gpu_hour * HOURS_PER_YEAR * gpus + staff_usd_per_year


def blended(usd_per_million_input_tokens: float, usd_per_million_output_tokens: float, share_in: float) -> float:
    """Return the price of 1M tokens of an API in USD; `share` (0 to 1) of them are input tokens."""
    return usd_per_million_input_tokens * share_in + usd_per_million_output_tokens * (1 - share_in)


def break_even_tokens(usd_per_year: float, api_usd_per_million: float) -> float:
    """Tokens a year from which a fixed yearly cost undercuts an API; infinite for one that is free."""
    return usd_per_year / api_usd_per_million * MILLION if api_usd_per_million else inf


def break_even_utilization(
    usd_per_million_tokens_at_full_utilization: float, api_usd_per_million: float, surcharge: float = 0.0
) -> float:
    """Utilization from which own hardware undercuts an API: above 1 never.

    `usd_per_million_tokens_at_full_utilization` is its price when full, `surcharge` (0.3 = 30 %) what people, downtime and updates add.
    """
    return (
        usd_per_million_tokens_at_full_utilization * (1 + surcharge) / api_usd_per_million
        if api_usd_per_million
        else inf
    )

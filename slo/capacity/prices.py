"""Prices on record, each with source and date: what APIs ask for 1M tokens, and what an hour of a GPU costs to rent, in US dollars."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, TypeVar

import msgspec
import yaml

from slo.capacity import memory
from slo.capacity.economics import MILLION, blended

Usd = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
ApiName = Annotated[str, msgspec.Meta(min_length=1, max_length=63)]
T = TypeVar("T")
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ApiPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an API asks for 1M prompt tokens and for 1M generated ones; `date` is when that was read or agreed."""

    usd_per_million_in: Usd
    usd_per_million_out: Usd
    source: Text
    date: date

    def usd(self, prompt: int, generated: int) -> float:
        """Price of so many tokens."""
        return (self.usd_per_million_in * prompt + self.usd_per_million_out * generated) / MILLION

    def usd_per_million(self, share_in: float) -> float:
        """Price of 1M tokens of which this share (0 to 1) are prompt."""
        return blended(self.usd_per_million_in, self.usd_per_million_out, share_in)


class GpuPrice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an hour of a GPU costs to rent (low, high)."""

    usd_per_hour: tuple[Usd, Usd]
    source: Text
    date: date

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
            raise ValueError(f"api {name!r}: has no price on record; known are {', '.join(self.apis)}")
        return self.apis[name]


@cache
def packaged() -> Prices:
    """Return the prices that Plimsoll brings along."""
    return _read((files("slo") / "data" / "prices.yaml").read_text(encoding="utf-8"))


def overridden(text: str) -> Prices:
    """Put a file of a user's own prices, in the form of prices.yaml, before the packaged ones; raises ValueError that names path and fix."""
    own, ours = _read(text), packaged()
    for name in own.gpus:
        if name not in memory.gpus():
            raise ValueError(f"gpus.{name}: is not a known GPU; known are {', '.join(memory.gpus())}")
    return Prices({**ours.apis, **own.apis}, {**ours.gpus, **own.gpus})


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    """A file whose entries are still to be read, each under its own name."""

    apis: dict[ApiName, Any] = {}
    gpus: dict[str, Any] = {}


def _read(text: str) -> Prices:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {' '.join(str(error).split())}") from error
    written = _converted(data, _Written, "")
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
        raise ValueError(f"{at.lstrip('.') or 'top level'}: {message}") from error

"""What an importer converted, and how it becomes an objectives file."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from plimsoll.slo.exchange.document import Document, Field, Loss, UnsupportedFieldError
from plimsoll.slo.exchange.indicator_matching import Found, Known, recognize
from plimsoll.slo.exchange.queries import Sum, UnsupportedQueryError
from plimsoll.slo.sources.selector import Matcher
from plimsoll.slo.spec.pool_match import EVERYTHING, Match
from plimsoll.slo.units import Target, compound, duration_text

_NAME = 63  # characters of a DNS label
# What the objectives file needs of a pool and no SLO file has: the smallest valid values, to be replaced.
PLACEHOLDERS: dict[str, Any] = {
    "node": {"gpu": "unknown", "gpus": 1},
    "nodes": {"min": 1, "max": 1},
    "timing": {"cold_start": "150s", "warm_start": "5s", "scale_in_stabilization": "300s"},
}


@dataclass(frozen=True)
class Reading:
    """How a file is read: names in queries (of engines and Plimsoll), and the default window and model."""

    names: Mapping[str, Known]
    window: str
    model: str | None = None


@dataclass
class ConvertedSlo:
    """An SLO as the objectives file writes it, with its model; `field` is its place in the source, `optional` are further fields."""

    field: Field
    id: str
    model: str
    indicator: str | dict[str, Any]
    target: str
    window: str | dict[str, str]
    losses: list[Loss]
    optional: Mapping[str, str] | None = None
    pool: str | None = None  # that the source itself describes


@dataclass
class Conversion:
    """The converted SLOs, the pools that the source itself describes, and the losses."""

    slos: list[ConvertedSlo] = field(default_factory=list)
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)

    def convert(self, found: Field, read: Callable[[Field], Iterable[ConvertedSlo]]) -> None:
        """Read the SLOs of one place; where that fails, all of it is one loss."""
        try:
            slos = list(read(found))
        except UnsupportedFieldError as error:
            found.use()
            self.losses.append(Loss(error.path, f"SLO skipped: {error}"))
            return
        self.slos += slos
        self.losses += [loss for slo in slos for loss in slo.losses]

    def finish(self, documents: Sequence[Document], reasons: Mapping[str, str]) -> "Conversion":
        """Add what no reader used."""
        for document in documents:
            self.losses += document.unused(reasons)
        return self


def indicator(
    reading: Reading, at: Field, sums: Callable[[], tuple[Sum, Sum]], losses: list[Loss], match: Match = EVERYTHING
) -> Found:
    """Find what the queries at a field count, good and total, with its model; raises UnsupportedFieldError.

    `match` is that of its pool; any other matcher is a loss.
    """
    try:
        found = recognize(*sums(), reading.names)
    except UnsupportedQueryError as error:
        raise UnsupportedFieldError(at.where, str(error)) from error
    losses += [Loss(at.where, difference) for difference in found.differences]
    losses += [
        Loss(
            at.where,
            f"{item.label}{item.op}{item.value!r} narrows what is counted; a pool is every replica of its model",
        )
        for item in found.narrowed
        if tuple(item) not in {tuple(Matcher.one_of(*one)) for one in match.labels}
    ]
    if found.model is None:
        if reading.model is None:
            raise UnsupportedFieldError(at.where, "names no model, so its pool is unknown. Add --model NAME")
        losses.append(Loss(at.where, f"names no model; {reading.model!r} is used (--model)"))
    return found._replace(model=found.model or reading.model)


def percent(at: Field, scale: int = 1) -> str:
    """Use a target, a percentage or (`scale` 100) a ratio; raises UnsupportedFieldError."""
    try:
        text = f"{(Decimal(at.text()) * scale).normalize():f}%"
        Target.parse(text)
    except (InvalidOperation, ValueError) as error:
        raise UnsupportedFieldError(at.where, f"{at.data!r} isn't a target above 0% and below 100%") from error
    return text


def window(at: Field, units: Mapping[str, float]) -> str:
    """Use a duration such as `4w` or `1d12h`; raises UnsupportedFieldError. `units` are the letters that it may have, in seconds."""
    try:
        return duration_text(compound(at.text(), units))
    except ValueError as error:
        raise UnsupportedFieldError(at.where, str(error)) from error


def _slug(text: str, otherwise: str) -> str:
    """Make a valid name of a text: lower case, letters, digits and hyphens; `otherwise` where nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_NAME].strip("-") or otherwise


def write(converted: Conversion, title: str) -> str:
    """Write the objectives file, and report renamed names and placeholders as losses."""
    pools = _pools(converted)
    ids = [slo.id for slo in converted.slos]
    objectives: list[dict[str, Any]] = []
    for index, slo in enumerate(converted.slos):
        name = _unused(_slug(slo.id, "objective"), {item["id"] for item in objectives})
        if name != ids[index]:
            converted.losses.append(
                Loss(slo.field.where, f"{ids[index]!r} is renamed to {name!r}: names are lower case and unique")
            )
        pool = slo.pool or next(pool["name"] for pool in pools if pool["model"] == slo.model)
        body = {"id": name, "pool": pool, "indicator": slo.indicator, "target": slo.target}
        body["window"] = slo.window
        objectives.append(body | dict(slo.optional or {}))
    whole = {"version": "plimsoll/v1", "pools": pools, "objectives": objectives}
    return f"# {title}\n" + yaml.safe_dump(whole, sort_keys=False, width=120, allow_unicode=True)


def _pools(converted: Conversion) -> list[dict[str, Any]]:
    """Return the pools that the source itself describes, and one for each further model."""
    pools: list[dict[str, Any]] = [{"name": name, **pool} for name, pool in converted.pools.items()]
    for slo in converted.slos:
        if slo.model not in {pool["model"] for pool in pools}:
            name = _unused(_slug(slo.model.rpartition("/")[2], "pool"), {pool["name"] for pool in pools})
            pools.append({"name": name, "model": slo.model, **PLACEHOLDERS})
            reason = f"doesn't describe pool {name!r}: node, nodes and timing are placeholders. Replace them."
            converted.losses.append(Loss(slo.field.where, reason))
    return pools


def _unused(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name[: _NAME - 1 - len(str(number))]}-{number}"
    return found

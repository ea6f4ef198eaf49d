"""What an importer has carried over, and how it becomes an objectives file."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

from plimsoll.slo.exchange.document import Document, Field, Loss, UnsupportedFieldError
from plimsoll.slo.exchange.indicator_matching import Found, Known, recognize
from plimsoll.slo.exchange.queries import Sum, Unreadable
from plimsoll.slo.units import Target, compound, duration_text

_NAME = 63  # characters of a DNS label
# What no SLO file says of a pool and the objectives file must: the smallest that is valid, to be replaced.
PLACEHOLDERS: dict[str, Any] = {
    "node": {"gpu": "unknown", "gpus": 1},
    "nodes": {"min": 1, "max": 1},
    "timing": {"cold_start": "150s", "warm_start": "5s", "scale_in_stabilization": "300s"},
}


@dataclass(frozen=True)
class Reading:
    """How a file is read: names in queries (engines' and ours), and what is taken where it names no window or no model."""

    names: Mapping[str, Known]
    window: str
    model: str | None = None


@dataclass
class Draft:
    """An objective on its way: as the objectives file writes it, with its model; `field` is where it stands in the source."""

    field: Field
    id: str
    model: str
    indicator: str | dict[str, Any]
    target: str
    window: str | dict[str, str]
    losses: list[Loss]
    bucket_mismatch: str | None = None


@dataclass
class Conversion:
    """All that was carried, pools that the source itself describes, and what was lost."""

    drafts: list[Draft] = field(default_factory=list)
    pools: dict[str, dict[str, Any]] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)

    def carry(self, found: Field, read: Callable[[Field], Iterable[Draft]]) -> None:
        """Read the objectives of one place; where that fails, all of it is one loss."""
        try:
            drafts = list(read(found))
        except UnsupportedFieldError as error:
            found.use()
            self.losses.append(Loss(error.path, f"not carried: {error}"))
            return
        self.drafts += drafts
        self.losses += [loss for draft in drafts for loss in draft.losses]

    def finish(self, documents: Sequence[Document], why: Mapping[str, str]) -> "Conversion":
        """Add what no reader used."""
        for document in documents:
            self.losses += document.unused(why)
        return self


def indicator(reading: Reading, at: Field, sums: Callable[[], tuple[Sum, Sum]], losses: list[Loss]) -> Found:
    """Find what the queries at a field count, good and total, with its model; raises UnsupportedFieldError."""
    try:
        found = recognize(*sums(), reading.names)
    except Unreadable as error:
        raise UnsupportedFieldError(at.where, str(error)) from error
    losses += [Loss(at.where, difference) for difference in found.differences]
    if found.model is None:
        if reading.model is None:
            raise UnsupportedFieldError(at.where, "names no model, so its pool is unknown; give --model NAME")
        losses.append(Loss(at.where, f"names no model: {reading.model!r} was given"))
    return found._replace(model=found.model or reading.model)


def percent(at: Field, scale: int = 1) -> str:
    """Use a target, a percentage or (`scale` 100) a ratio; raises UnsupportedFieldError."""
    try:
        text = f"{(Decimal(at.text()) * scale).normalize():f}%"
        Target.parse(text)
    except (InvalidOperation, ValueError) as error:
        raise UnsupportedFieldError(at.where, f"{at.data!r} leaves no budget, or is no target") from error
    return text


def window(at: Field, units: Mapping[str, float]) -> str:
    """Use a duration such as `4w` or `1d12h`; raises UnsupportedFieldError. `units` are the letters that it may have, in seconds."""
    try:
        return duration_text(compound(at.text(), units))
    except ValueError as error:
        raise UnsupportedFieldError(at.where, str(error)) from error


def _slug(text: str, otherwise: str) -> str:
    """Make a name of ours of a text: lower case, letters, digits and hyphens; `otherwise` where nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:_NAME].strip("-") or otherwise


def write(carried: Conversion, title: str) -> str:
    """Write the objectives file, and add to the losses what had to be made up or renamed for it."""
    pools = _pools(carried)
    ids = [draft.id for draft in carried.drafts]
    objectives: list[dict[str, Any]] = []
    for index, draft in enumerate(carried.drafts):
        name = _unused(_slug(draft.id, "objective"), {item["id"] for item in objectives})
        if name != ids[index]:
            carried.losses.append(
                Loss(draft.field.where, f"{ids[index]!r} is called {name!r}: names differ, or are taken")
            )
        body = {"id": name, "pool": pools[draft.model]["name"], "indicator": draft.indicator, "target": draft.target}
        body["window"] = draft.window
        objectives.append(body | ({"bucket_mismatch": draft.bucket_mismatch} if draft.bucket_mismatch else {}))
    whole = {"version": "plimsoll/v1", "pools": list(pools.values()), "objectives": objectives}
    return f"# {title}\n" + yaml.safe_dump(whole, sort_keys=False, width=120, allow_unicode=True)


def _pools(carried: Conversion) -> dict[str, dict[str, Any]]:
    """Return one pool per model, the source's own where it describes one."""
    pools = {pool["model"]: {"name": name, **pool} for name, pool in carried.pools.items()}
    for draft in carried.drafts:
        if draft.model not in pools:
            taken = {pool["name"] for pool in pools.values()}
            name = _unused(_slug(draft.model.rpartition("/")[2], "pool"), taken)
            pools[draft.model] = {"name": name, "model": draft.model, **PLACEHOLDERS}
            why = f"says nothing of pool {name!r}: its node, nodes and timing are placeholders, to be filled in"
            carried.losses.append(Loss(draft.field.where, why))
    return pools


def _unused(name: str, taken: set[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name[: _NAME - 1 - len(str(number))]}-{number}"
    return found

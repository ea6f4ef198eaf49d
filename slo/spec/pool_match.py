"""Which replicas are a pool's: those that serve its model, and whose target labels have the values of its `match`."""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Self

from plimsoll.slo import metrics
from plimsoll.slo.units import shown

if TYPE_CHECKING:
    from plimsoll.slo.spec.objectives import Pool

Values = tuple[tuple[str, tuple[str, ...]], ...]  # label, and the values that it may have
# Labels that parts of one replica differ in, or that not all of its metrics have: they can't distinguish pools.
OWN = {label for metric in metrics.ALL if "model" in metric.labels for label in metric.labels} | {
    *("le", "pool", "objective", "outcome"),
}


_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_EXAMPLE = "Write {region: eu} or {region: [eu, us]}."


class Match:
    """The target labels of a pool's replicas, in the order of the file, each with the values that it may have."""

    __slots__ = ("labels",)

    def __init__(self, labels: Values = ()) -> None:
        self.labels = labels

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read `{region: eu}` or `{region: [eu, us]}`; raises ValueError with the fix."""
        if not isinstance(value, dict):
            raise ValueError(f"{shown(value)} isn't a mapping of labels to values. {_EXAMPLE}")
        return cls(tuple(_label(name, some) for name, some in value.items()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Match) and self.labels == other.labels

    def __hash__(self) -> int:
        return hash(self.labels)

    def to_file(self) -> dict[str, str | list[str]]:
        """Return it as the objectives file writes it."""
        return {name: some[0] if len(some) == 1 else list(some) for name, some in self.labels}


EVERYTHING = Match()  # every replica of the model


def _label(name: object, value: object) -> tuple[str, tuple[str, ...]]:
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith("__"):
        raise ValueError(f"{shown(name)} isn't the name of a label. {_EXAMPLE}")
    if name in OWN:
        raise ValueError(
            f"{name} is a label of the metrics themselves. Match labels of the scrape targets, such as region, namespace or instance."
        )
    some = tuple(value) if isinstance(value, list) else (value,)
    if not some or not all(isinstance(one, str) and one and one.isprintable() for one in some):
        raise ValueError(f"{name}: {shown(value)} isn't a text, or a list of texts. {_EXAMPLE}")
    return name, some


def has(labels: Mapping[str, str], wanted: Values) -> bool:
    """Return whether labels have one of the wanted values each."""
    return all(labels.get(label) in some for label, some in wanted)


def overlap(pools: Sequence["Pool"]) -> str:
    """Return which two pools may have a replica in common, and the fix; empty where none do.

    Two matches are disjoint where one label of both has no value in common.
    """
    for (first, one), (second, other) in combinations(enumerate(pools), 2):
        mine = {label: set(some) for label, some in one.labels}
        if all(mine[label] & set(some) for label, some in other.labels if label in mine):
            return (
                f"pools[{first}] and pools[{second}]: {one.name!r} and {other.name!r} both match replicas of the model "
                f"{one.model!r}. Give each a match with another value of one common label, such as match: {{region: eu}}."
            )
    return ""


def adapter_overlap(pools: Sequence["Pool"]) -> str:
    """Return which adapter two pools may have in common, or a pool has for a model, and the fix; empty where there is none."""
    for (first, one), (second, other) in combinations(enumerate(pools), 2):
        mine = {label: set(some) for label, some in one.match.labels}
        apart = any(not mine[label] & set(some) for label, some in other.match.labels if label in mine)
        shared = {one.model, *one.adapters} & {other.model, *other.adapters}
        if shared and not apart:
            return f"pools[{first}] and pools[{second}]: both have the model or adapter {min(shared)!r}. Name it in one pool."
    return ""


def match_labels(pools: Sequence["Pool"]) -> tuple[str, ...]:
    """Return the labels by which any pool is matched beside its model, each once, in order."""
    return tuple(sorted({label for pool in pools for label, _ in pool.match.labels}))

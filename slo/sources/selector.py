"""Selectors of series, and the only place that writes them as PromQL: matchers are quoted and escaped here."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Labels = tuple[tuple[str, tuple[str, ...]], ...]


class Matcher(NamedTuple):
    """One label matcher. With `=~` and `!~` the value is a pattern (RE2, anchored)."""

    label: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str

    def __str__(self) -> str:
        return f'{self.label}{self.op}"{quoted(self.value)}"'

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels satisfy it. A missing label is an empty one, as in PromQL."""
        value = labels.get(self.label, "")
        found = re.fullmatch(self.value, value) is not None if self.op.endswith("~") else value == self.value
        return found != self.op.startswith("!")

    @classmethod
    def one_of(cls, label: str, values: tuple[str, ...]) -> "Matcher":
        """Match a label that has one of some literal values."""
        if len(values) == 1:
            return cls(label, "=", values[0])
        return cls(label, "=~", "|".join(_REGEX_CHARACTER.sub(r"\\\g<0>", value) for value in values))


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of one sample name whose labels have one of the given values, and satisfy `further` matchers."""

    name: str
    labels: Labels = ()
    further: tuple[Matcher, ...] = ()

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Return whether a series is selected."""
        if name != self.name:
            return False
        for (
            label,
            values,
        ) in self.labels:  # a loop: it is called for most series of a fleet, and all() takes twice as long
            if labels.get(label) not in values:
                return False
        return not self.further or all(matcher.holds(labels) for matcher in self.further)

    def promql(self, *more: Matcher, over: str = "") -> str:
        """Write the selector as PromQL, with more matchers, and as a range vector where `over` (such as `5m`) is given."""
        return promql(self.name, (*(Matcher.one_of(*one) for one in self.labels), *self.further, *more), over)

    def __str__(self) -> str:
        return self.promql()


def promql(name: str, matchers: Iterable[Matcher], over: str = "") -> str:
    """Write a vector selector, or a range vector selector over a duration such as `5m` or `$__rate_interval`."""
    written = ",".join(map(str, matchers))
    return name + (f"{{{written}}}" if written else "") + (f"[{over}]" if over else "")


_REGEX_CHARACTER = re.compile(r"[\\.+*?()|\[\]{}^$]")  # what RE2 gives a meaning


def quoted(text: str) -> str:
    """Escape a text for a PromQL string in double quotes."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

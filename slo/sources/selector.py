"""Selector."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

Labels = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Selector:
    """Series of one sample name whose labels have one of the given values."""

    name: str
    labels: Labels

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether a series is selected."""
        return name == self.name and all(labels.get(label) in values for label, values in self.labels)

    def __str__(self) -> str:
        """Write the selector as PromQL."""
        matchers = [_matcher(label, values) for label, values in self.labels]
        return f"{self.name}{{{','.join(matchers)}}}"


def _matcher(label: str, values: tuple[str, ...]) -> str:
    if len(values) == 1:
        return f'{label}="{_quoted(values[0])}"'
    either = "|".join(_REGEX_CHARACTER.sub(r"\\\g<0>", value) for value in values)
    return f'{label}=~"{_quoted(either)}"'


_REGEX_CHARACTER = re.compile(r"[\\.+*?()|\[\]{}^$]")  # what RE2 gives a meaning


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

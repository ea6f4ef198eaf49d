"""Selectors that one query reads together: most of the cost of a small response is the request."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from plimsoll.slo.sources.selector import Labels, Matcher, Selector, promql


@dataclass(frozen=True, slots=True)
class Batch:
    """The series of some names with the same matchers. It has all series of its selectors, and may have others."""

    names: tuple[str, ...]
    labels: Labels
    further: tuple[Matcher, ...]
    selectors: tuple[Selector, ...]

    def promql(self, over: str) -> str:
        """Write it as a range vector over a duration such as `5m`."""
        if len(self.selectors) == 1:
            return self.selectors[0].promql(over=over)
        name = Matcher.one_of("__name__", self.names)
        return promql("", (name, *(Matcher.one_of(*one) for one in self.labels), *self.further), over)

    def selecting(self, name: str, labels: Mapping[str, str]) -> Sequence[Selector]:
        """Return the selectors of one of its series."""
        if len(self.selectors) == 1:
            return self.selectors
        return [one for one in self.selectors if one.name == name and one.matches(name, labels)]


def alone(selectors: Iterable[Selector]) -> list[Batch]:
    """Return a batch for each selector."""
    return [Batch((one.name,), one.labels, one.further, (one,)) for one in selectors]


def batches(selectors: Sequence[Selector]) -> list[Batch]:
    """Join selectors of one name that differ in the values of their labels, and then names with the same matchers.

    The values of one name are joined label by label, so that the batch has every combination of them.
    """
    by_name: dict[tuple[str, tuple[str, ...], tuple[Matcher, ...]], list[Selector]] = defaultdict(list)
    for one in selectors:
        by_name[one.name, tuple(label for label, _ in one.labels), one.further].append(one)
    by_matchers: dict[tuple[Labels, tuple[Matcher, ...]], list[Selector]] = defaultdict(list)
    for (_, labels, further), some in by_name.items():
        values = (tuple(dict.fromkeys(v for one in some for v in one.labels[i][1])) for i in range(len(labels)))
        by_matchers[tuple(zip(labels, values, strict=True)), further] += some
    return [
        Batch(tuple(dict.fromkeys(one.name for one in some)), labels, further, tuple(some))
        for (labels, further), some in by_matchers.items()
    ]

"""Selectors that one query reads together: most of the cost of a small response is the request."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from plimsoll.slo.sources.selector import Labels, Matcher, Selector, promql

LIMIT_VALUES = 8_000  # characters of label values in one query: VictoriaMetrics takes no query above 16 KiB


@dataclass(frozen=True)
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
        """Return the selectors of one of its series, which satisfies `further`."""
        if len(self.selectors) == 1:
            return self.selectors
        own, by_values = self._by_values.get(name, ((), {}))
        return by_values.get(tuple([labels.get(label) for label in own]), ())

    @cached_property
    def _by_values(self) -> dict[str, tuple[tuple[str, ...], dict[tuple[str | None, ...], list[Selector]]]]:
        """By name, which labels its selectors have, and the selectors by the values of these labels."""
        found: dict[str, tuple[tuple[str, ...], dict[tuple[str | None, ...], list[Selector]]]] = {}
        for one in self.selectors:
            _, by_values = found.setdefault(one.name, (tuple(label for label, _ in one.labels), {}))
            for values in product(*(values for _, values in one.labels)):
                by_values.setdefault(values, []).append(one)
        return found


def _in_one_query(selectors: Sequence[Selector]) -> Iterator[list[Selector]]:
    """Part selectors so that the values of each part fit into one query."""
    part, size = list[Selector](), 0
    for one in selectors:
        more = sum(len(value) + 1 for _, values in one.labels for value in values)
        if part and size + more > LIMIT_VALUES:
            yield part
            part, size = [], 0
        part, size = [*part, one], size + more
    yield part


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
    for (_, labels, further), alike in by_name.items():
        for some in _in_one_query(alike):
            values = (tuple(dict.fromkeys(v for one in some for v in one.labels[i][1])) for i in range(len(labels)))
            by_matchers[tuple(zip(labels, values, strict=True)), further] += some
    return [
        Batch(tuple(dict.fromkeys(one.name for one in some)), labels, further, tuple(some))
        for (labels, further), some in by_matchers.items()
    ]

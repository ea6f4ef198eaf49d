"""Reads a PromQL query as a sum of counters. Any other query is rejected, never guessed."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import promql_parser

from plimsoll.slo.units import printable

# Ratios of both are ratios of the counted requests over the same time.
GROWTH = ("rate", "increase")
_WINDOW = re.compile(r"\{\{\s*\.window\s*\}\}")  # Sloth's placeholder for the range


class UnsupportedQueryError(ValueError):
    """The query is not a sum of counters; the message states why."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Matcher(NamedTuple):
    """A label's matcher: `=`, `!=`, `=~` or `!~`."""

    label: str
    op: str
    value: str


class Term(NamedTuple):
    """One counter: its sample name and the matchers of its selector, in order."""

    name: str
    matchers: tuple[Matcher, ...]


class Sum(NamedTuple):
    """Counters with the number of times that each is added (below 0: taken off), labels by which they are grouped, and how
    their growth is read (`rate` over 5 minutes; nothing for bare counters).
    """

    terms: Counter[Term]
    grouped: frozenset[str] = frozenset()
    growth: frozenset[str] = frozenset()

    def plus(self, other: "Sum") -> "Sum":
        """Add up both."""
        return self._with(other, self.terms + other.terms)

    def minus(self, other: "Sum") -> "Sum":
        """Subtract another sum; equal terms cancel."""
        left = Counter(self.terms)
        left.subtract(other.terms)
        return self._with(other, Counter({term: count for term, count in left.items() if count}))

    def _with(self, other: "Sum", terms: Counter[Term]) -> "Sum":
        return Sum(terms, self.grouped | other.grouped, self.growth | other.growth)


def read_sum(query: str) -> Sum:
    """Read a query such as `sum(rate(a[5m])) - sum(rate(b[5m]))`, or a bare selector; raises UnsupportedQueryError."""
    return _sum(_parse(query))


def read_ratio(query: str) -> tuple[Sum, Sum, bool]:
    """Read `part / total` or `1 - part / total` as (part, total, whether it is taken off 1); raises UnsupportedQueryError."""
    tree = _bare(_parse(query))
    inverted = _is(tree, "BinaryExpr") and str(tree.op) == "-" and _number(tree.lhs) == 1
    ratio = _bare(tree.rhs) if inverted else tree
    if not _is(ratio, "BinaryExpr") or str(ratio.op) != "/":
        raise UnsupportedQueryError("isn't a ratio of two sums of counters")
    return _sum(ratio.lhs), _sum(ratio.rhs), inverted


def _parse(query: str) -> Any:
    try:
        return promql_parser.parse(_WINDOW.sub("5m", query))
    except ValueError as error:
        raise UnsupportedQueryError(f"isn't PromQL: {error}") from error


def _is(tree: Any, *kinds: str) -> bool:
    return type(tree).__name__ in kinds


def _bare(tree: Any) -> Any:
    """Remove parentheses and `or vector(0)`, which adds nothing."""
    while True:
        if _is(tree, "ParenExpr"):
            tree = tree.expr
        elif _is(tree, "BinaryExpr") and str(tree.op) == "or" and _is_zero(tree.rhs):
            tree = tree.lhs
        else:
            return tree


def _is_zero(tree: Any) -> bool:
    return _is(tree, "Call") and tree.func.name == "vector" and _number(tree.args[0]) == 0


def _number(tree: Any) -> float | None:
    return tree.val if _is(tree, "NumberLiteral") else None


def _sum(tree: Any) -> Sum:
    tree = _bare(tree)
    kind = type(tree).__name__
    if kind not in _READERS:
        raise UnsupportedQueryError(f"is more than a sum of counters: {tree.prettify().strip()[:80]}")
    return _READERS[kind](tree)


def _binary(tree: Any) -> Sum:
    if str(tree.op) not in ("+", "-"):
        raise UnsupportedQueryError(f"has {tree.op}: only sums and differences of counters are read")
    left, right = _sum(tree.lhs), _sum(tree.rhs)
    return left.plus(right) if str(tree.op) == "+" else left.minus(right)


def _aggregate(tree: Any) -> Sum:
    if str(tree.op) != "sum":
        raise UnsupportedQueryError(f"has {tree.op}(): only sum() keeps requests countable")
    inner = _sum(tree.expr)
    if tree.modifier is None or not tree.modifier.labels:
        return inner
    if "By" not in str(tree.modifier.type):
        raise UnsupportedQueryError("is summed `without` labels, so its groups are unknown")
    return inner._replace(grouped=inner.grouped | set(tree.modifier.labels))


def _call(tree: Any) -> Sum:
    if tree.func.name not in GROWTH:
        raise UnsupportedQueryError(f"has {tree.func.name}(): only {' and '.join(GROWTH)} of counters are read")
    read = tree.args[0]
    if not _is(read, "MatrixSelector"):
        raise UnsupportedQueryError(f"has {tree.func.name}() of something other than a counter")
    return _selector(read.vector_selector)._replace(growth=frozenset([f"{tree.func.name} over {read.range}"]))


def _selector(tree: Any) -> Sum:
    if tree.offset is not None or tree.at is not None:
        raise UnsupportedQueryError("looks at another time (offset or @)")
    if tree.matchers.or_matchers:
        raise UnsupportedQueryError("has `or` between its matchers")
    given = [Matcher(item.name, _OPERATORS[str(item.op)], item.value) for item in tree.matchers.matchers]
    names = [item.value for item in given if item.label == "__name__" and item.op == "="]
    name = tree.name or (names[0] if len(names) == 1 else None)
    if name is None:
        raise UnsupportedQueryError("selects series by no single name")
    return Sum(Counter([Term(name, tuple(sorted(item for item in given if item.label != "__name__")))]))


_OPERATORS = {"MatchOp.Equal": "=", "MatchOp.NotEqual": "!=", "MatchOp.Re": "=~", "MatchOp.NotRe": "!~"}
_READERS: dict[str, Callable[[Any], Sum]] = {
    "BinaryExpr": _binary,
    "AggregateExpr": _aggregate,
    "Call": _call,
    "VectorSelector": _selector,
}

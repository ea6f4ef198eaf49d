"""Extracts the queries of a dashboard, with variables replaced, and parses PromQL.

Used by the dashboards' tests and by the end-to-end test, which runs every query on a real Prometheus.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import promql_parser

Dashboard = Mapping[str, Any]
RATE_INTERVAL = "8m"  # a value that no query has itself
_VARIABLE = re.compile(r"\$\{?(\w+)\}?")
_LABEL_VALUES = re.compile(r"label_values\((.*), *(\w+)\)")
_QUERY_RESULT = re.compile(r"query_result\((.*)\)")


class Query(NamedTuple):
    """One query: the title of its panel (or name of its variable or annotation), its letter, and its PromQL."""

    panel: str
    ref: str
    expr: str


class RangeQuerier(Protocol):
    """The part of `stack.Prometheus` that `complaints` needs."""

    def query_range(self, promql: str, start: float, end: float, step: float) -> list[Any]:
        """Return series with `labels` and `points`."""


def substitute(text: str, **values: str) -> str:
    """Replace variables; one that isn't given matches any value."""
    chosen = {"__rate_interval": RATE_INTERVAL, **values}
    return _VARIABLE.sub(lambda match: chosen.get(match[1], ".*"), text)


def panels(dashboard: Dashboard) -> list[Mapping[str, Any]]:
    """Return every panel with data, including those in collapsed rows."""
    nested = [inner for panel in dashboard["panels"] for inner in panel.get("panels", ())]
    return [panel for panel in (*dashboard["panels"], *nested) if panel["type"] != "row"]


def panel_queries(dashboard: Dashboard, **values: str) -> list[Query]:
    """Return the queries of all panels. `values` sets variables, such as `__rate_interval="10s"` or `pool="chat-70b"`."""
    return [
        Query(panel["title"], target["refId"], substitute(target["expr"], **values))
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def variable_queries(dashboard: Dashboard, **values: str) -> list[Query]:
    """Return the queries of all query variables, rewritten so that each series is one choice."""
    return [
        Query(f"${variable['name']}", "", _choices(substitute(variable["query"], **values)))
        for variable in dashboard["templating"]["list"]
        if variable["type"] == "query"
    ]


def annotation_queries(dashboard: Dashboard, **values: str) -> list[Query]:
    """Return the queries of all annotations. Without events they have no series."""
    return [Query(one["name"], "", substitute(one["expr"], **values)) for one in dashboard["annotations"]["list"]]


def complaints(prometheus: RangeQuerier, queries: list[Query], start: float, end: float, step: float = 1) -> list[str]:
    """Run queries over a time range and list those without series or with a value that isn't finite."""
    found = []
    for query in queries:
        series = prometheus.query_range(query.expr, start, end, step)
        values = [value for one in series for _, value in one.points]
        if not values:
            found.append(f"{query.panel} {query.ref}: no series for {query.expr}")
        elif not all(map(math.isfinite, values)):
            found.append(f"{query.panel} {query.ref}: not finite: {query.expr}")
    return found


def nodes(expr: str) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Return every node of an expression with its ancestors, outermost first. Raises ValueError if it doesn't parse."""
    path: list[Any] = []
    found: list[tuple[Any, tuple[Any, ...]]] = []

    def enter(node: Any) -> bool:
        found.append((node, tuple(path)))
        path.append(node)
        return True

    def leave(_: Any) -> bool:
        path.pop()
        return True

    promql_parser.walk(promql_parser.parse(expr), enter, leave)
    return iter(found)


def _choices(query: str) -> str:
    if match := _LABEL_VALUES.fullmatch(query):
        return f"group by ({match[2]}) ({match[1]})"
    if match := _QUERY_RESULT.fullmatch(query):
        return match[1]
    raise ValueError(f"{query!r} is neither label_values(selector, label) nor query_result(query)")

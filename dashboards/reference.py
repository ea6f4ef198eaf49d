"""Renders docs/reference/dashboards.md: every dashboard, row, panel and query."""

from collections.abc import Iterator, Mapping
from typing import Any

from plimsoll.dashboards.build import DASHBOARDS
from plimsoll.slo.spec.objectives import Spec

_INTRO = """<!-- Generated from plimsoll.dashboards. Don't edit. -->
# Dashboards

For on-call engineers and anyone who builds their own panels: every dashboard, row, panel and query, for the default
objectives file. To load the dashboards, see [Install the dashboards](../how-to/install-dashboards.md).

In queries, `$NAME` is a dashboard variable and `$__rate_interval` is set by Grafana. Below each panel: its kind, its unit
and the text that it shows without data; then its queries, each after the name of its series (`#`).
"""
_KINDS = {"stat": "Stat", "timeseries": "Time series", "state-timeline": "State timeline", "table": "Table"}
_UNITS = {
    "none": "count",
    "short": "count",
    "percentunit": "ratio as %",
    "reqps": "requests/s",
    "s": "seconds",
    "bytes": "bytes",
    "watt": "watts",
    "joule": "joules",
    "celsius": "°C",
    "currencyUSD": "USD",
}


def reference(spec: Spec) -> str:
    """Return the page as Markdown. The same objectives give the same bytes."""
    boards = {name: build(spec) for name, build in DASHBOARDS.items()}
    first = next(iter(boards.values()))
    parts = [_INTRO, *_contents(boards), *_annotations(first)]
    parts += [line for name, board in boards.items() for line in _dashboard(name, board)]
    return "\n".join(parts).rstrip() + "\n"


def _title(board: Mapping[str, Any]) -> str:
    return str(board["title"]).rpartition(" / ")[2]


def _contents(boards: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield from ("| Dashboard | File | Shows |", "|---|---|---|")
    for name, board in boards.items():
        yield f"| [{_title(board)}](#{_title(board).lower().replace(' ', '-')}) | `{name}` | {board['description']} |"
    yield ""


def _annotations(board: Mapping[str, Any]) -> Iterator[str]:
    yield "## Annotations\n\nEvery dashboard marks these events on its graphs.\n"
    for one in board["annotations"]["list"]:
        yield f"- **{one['name']}**\n\n  ```promql\n  {one['expr']}\n  ```"
    yield ""


def _dashboard(name: str, board: Mapping[str, Any]) -> Iterator[str]:
    variables = ", ".join(f"{one['label']} (`${one['name']}`)" for one in board["templating"]["list"])
    yield f"## {_title(board)}\n\n{board['description']}\n"
    yield f"UID `{board['uid']}`, file `{name}`. Variables: {variables}.\n"
    if board["panels"][0]["type"] != "row":
        yield "### Top row\n"
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield f"### {panel['title']}\n"
        else:
            yield from _panel(panel)


def _panel(panel: Mapping[str, Any]) -> Iterator[str]:
    field = panel["fieldConfig"]["defaults"]
    unit = _UNITS.get(field["unit"], field["unit"].removeprefix("suffix: "))
    yield f"#### {panel['title']}\n\n{panel['description']}\n"
    yield f"{_KINDS[panel['type']]} · {_states(field['mappings']) or unit} · “{field['noValue']}”\n"
    yield "```promql"
    for target in panel["targets"]:
        legend = target["legendFormat"].removeprefix("__auto")
        yield f"# {legend}\n{target['expr']}" if legend else target["expr"]
    yield "```\n"


def _states(mappings: list[Mapping[str, Any]]) -> str:
    return ", ".join(
        f"{value} = {shown['text']}"
        for mapping in mappings
        for value, shown in mapping["options"].items()
        if shown["text"] != value
    )

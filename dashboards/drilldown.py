"""Links from a panel to another dashboard, to the SLO service and to traces. All keep the time range and the variables."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from plimsoll.slo import links
from plimsoll.slo.metrics import trace_attributes

# Variables that every dashboard has. A link that sets one of them passes the others one by one, so that it isn't set twice;
# any other link passes all variables.
SHARED = ("datasource", "traces", "region", "pool", "model", "node", "replica")
_TIME = "${__url_time_range}"
_REPLICA = (f'span.{trace_attributes.REPLICA}=~"${{replica:pipe}}"',)
_LONG = 8192  # input tokens: a longer prompt fills a whole step of vLLM's default token budget


def link(title: str, url: str) -> dict[str, Any]:
    """Return a link. One to a dashboard keeps time and variables; any other opens a new tab."""
    inside = url.startswith("/d/")
    others = [f"${{{name}:queryparam}}" for name in SHARED if f"var-{name}=" not in url]
    keep = "&".join((_TIME, *(others if "var-" in url else ["${__all_variables}"])))
    target = f"{url}{'&' if '?' in url else '?'}{keep}" if inside else url
    return {"title": title, "url": target, "targetBlank": not inside}


def to_dashboard(title: str, uid: str) -> dict[str, Any]:
    """Return a link to a dashboard."""
    return link(title, links.dashboard_url(uid, base=""))


def traces(of_replica: bool = False) -> list[dict[str, Any]]:
    """Return links to the traces of the chosen models' requests in Tempo: all, with short input, with long input.

    `of_replica` keeps the requests that the gateway sent to the chosen replicas.
    """
    return [
        link(f"Traces: {title}", _explore([*(_REPLICA if of_replica else ()), *conditions]))
        for title, conditions in (
            ("all requests", ()),
            (
                "short input",
                (f"span.{trace_attributes.PROMPT_CLASS}=~{json.dumps('|'.join(_classes(long=False)))}",),
            ),
            (
                "long input",
                (f"span.{trace_attributes.PROMPT_CLASS}=~{json.dumps('|'.join(_classes(long=True)))}",),
            ),
        )
    ]


def _classes(long: bool) -> Iterator[str]:
    """Yield the prompt-length classes of long or of short input."""
    for bound in trace_attributes.PROMPT_CLASSES:
        if (bound > _LONG) == long:
            yield f"<={bound}"
    if long:
        yield f">{trace_attributes.PROMPT_CLASSES[-1]}"


def _explore(conditions: Sequence[str]) -> str:
    """Return the address of a Tempo search in Explore (`panes`, Grafana 10.1 and later) for the dashboard's time and models.

    The result table has columns for tenant, replica, prompt class and time to first token.
    """
    chosen = (f'span.{trace_attributes.MODEL}=~"${{model:pipe}}"', *conditions)
    shown = (
        trace_attributes.TENANT,
        trace_attributes.REPLICA,
        trace_attributes.PROMPT_CLASS,
        trace_attributes.FIRST_TOKEN,
    )
    query = f"{{{' && '.join(chosen)}}} | select({', '.join(f'span.{name}' for name in shown)})"
    source = {"type": "tempo", "uid": "${traces}"}
    pane = {
        "datasource": "${traces}",
        "queries": [{"refId": "A", "datasource": source, "queryType": "traceql", "query": query, "tableType": "spans"}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    return f"/explore?schemaVersion=1&panes={quote(json.dumps({'a': pane}, separators=(',', ':')), safe='${}:_')}"

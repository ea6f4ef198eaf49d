"""The ways on from a panel: to another dashboard, to the SLO service, to the traces behind it. All of them keep what was chosen."""

import json
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from plimsoll.slo import links
from plimsoll.slo.metrics import trace_attributes

# Variables that every dashboard has. A link that sets one itself carries the others along one by one, else that one would
# have both values; any other link carries all that the dashboard has.
SHARED = ("datasource", "traces", "region", "pool", "model", "node", "replica")
_TIME = "${__url_time_range}"
_REPLICA = (f'span.{trace_attributes.REPLICA}=~"${{replica:pipe}}"',)
_LONG = 8192  # tokens: above it a prompt takes a whole step of vLLM's default token budget


def link(title: str, url: str) -> dict[str, Any]:
    """Make a link; to a dashboard it keeps time and variables, anywhere else it opens a new tab."""
    inside = url.startswith("/d/")
    others = [f"${{{name}:queryparam}}" for name in SHARED if f"var-{name}=" not in url]
    keep = "&".join((_TIME, *(others if "var-" in url else ["${__all_variables}"])))
    kept = f"{url}{'&' if '?' in url else '?'}{keep}" if inside else url
    return {"title": title, "url": kept, "targetBlank": not inside}


def down(title: str, uid: str) -> dict[str, Any]:
    """Link to a whole dashboard."""
    return link(title, links.dashboard_url(uid, base=""))


def traces(of_replica: bool = False) -> list[dict[str, Any]]:
    """Links to the traces of the chosen models' requests in Tempo: all, and those with short and with long prompts apart.

    `of_replica` keeps to the chosen replicas: those requests whose gateway knew where it sent them.
    """
    return [
        link(f"Traces: {title}", _explore([*(_REPLICA if of_replica else ()), *conditions]))
        for title, conditions in (
            ("all of these requests", ()),
            (
                "short prompts only",
                (f"span.{trace_attributes.PROMPT_CLASS}=~{json.dumps('|'.join(_classes(long=False)))}",),
            ),
            (
                "long prompts only",
                (f"span.{trace_attributes.PROMPT_CLASS}=~{json.dumps('|'.join(_classes(long=True)))}",),
            ),
        )
    ]


def _classes(long: bool) -> Iterator[str]:
    """Prompt-length classes above or up to the bound that parts short from long."""
    for bound in trace_attributes.PROMPT_CLASSES:
        if (bound > _LONG) == long:
            yield f"<={bound}"
    if long:
        yield f">{trace_attributes.PROMPT_CLASSES[-1]}"


def _explore(conditions: Sequence[str]) -> str:
    """Address of Tempo's search in Explore (`panes`, Grafana 10.1 and later), for the dashboard's time and models.

    Tenant, replica, prompt class and first token stand in the list that it shows, to be sorted by.
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

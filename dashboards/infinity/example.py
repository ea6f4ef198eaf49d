"""The data source and the dashboard of the example. `plimsoll build --infinity` writes them; nothing provisions them by default.

Keys of the queries and of the data source are those of the plugin's documentation (yesoreyeram-infinity-datasource, "JSON" and "Provision the data
source"), for its backend parser.
"""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from plimsoll.dashboards.normalize import SCHEMA_VERSION
from plimsoll.slo.links import panel_id

PLUGIN, UID = "yesoreyeram-infinity-datasource", "plimsoll-service"
SOURCE = {"type": PLUGIN, "uid": UID}
API = "/api/v1"
# Selector of the API's JSON -> (heading, type, unit).
SLOS = {
    "id": ("SLO", "string", ""),
    "pool": ("Pool", "string", ""),
    "status": ("Status", "string", ""),
    "budget_remaining": ("Error budget remaining", "number", "percentunit"),
    "exhaustion.seconds_to_exhaustion": ("Time to exhaustion", "number", "s"),
    "good": ("Good requests", "number", "short"),
    "total": ("Total requests", "number", "short"),
    "coverage": ("Data coverage", "number", "percentunit"),
}
REVIEW_SLOS = {
    "id": ("SLO", "string", ""),
    "met": ("Met", "boolean", ""),
    "good_ratio": ("SLI", "number", "percentunit"),
    "target": ("Target", "number", "percentunit"),
    "budget_consumed": ("Budget consumed", "number", "percentunit"),
    "coverage": ("Data coverage", "number", "percentunit"),
}
REVIEW_POOLS = {
    "name": ("Pool", "string", ""),
    "week.nodes": ("Mean nodes", "number", "short"),
    "week.cost_usd": ("Cost", "number", "currencyUSD"),
    "week.usd_per_million_tokens": ("Cost per 1M tokens", "number", "currencyUSD"),
    "recommended_nodes": ("Last recommended nodes", "number", "short"),
    "survives_node_loss": ("N+1 redundancy", "boolean", ""),
}
TABLES = (
    ("SLOs now", f"{API}/slos", "slos", SLOS),
    ("SLOs of the week", f"{API}/reviews/${{week}}", "slos", REVIEW_SLOS),
    ("Pools of the week", f"{API}/reviews/${{week}}", "pools", REVIEW_POOLS),
)


def files() -> dict[str, str]:
    """Return the text of both files by name."""
    return {
        "infinity/service.json": json.dumps(_dashboard(), indent=2) + "\n",
        "infinity/datasource.yml": _data_source(),
    }


def _data_source() -> str:
    source = {
        "name": "Plimsoll service",
        "uid": UID,
        "type": PLUGIN,
        "access": "proxy",
        "url": "${PLIMSOLL_SERVICE_URL}",
        "jsonData": {"auth_method": "bearerToken", "allowedHosts": ["${PLIMSOLL_SERVICE_URL}"]},
        "secureJsonData": {"bearerToken": "${PLIMSOLL_READ_TOKEN}"},
    }
    head = "# Grafana replaces ${...} from its environment. The token needs the scope read.\n"
    return head + yaml.safe_dump({"apiVersion": 1, "datasources": [source]}, sort_keys=False)


def _dashboard() -> dict[str, Any]:
    week = {
        **{"name": "week", "label": "Week", "type": "textbox", "query": "2026-W47"},
        "description": "ISO week (UTC) of the review, such as 2026-W47",
    }
    return {
        "uid": UID,
        "title": "Plimsoll / Budgets and reviews (API)",
        "tags": ["plimsoll"],
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "1m",
        "templating": {"list": [week]},
        "panels": [_table(index, *one) for index, one in enumerate(TABLES)],
    }


def _table(index: int, title: str, url: str, root: str, columns: Mapping[str, tuple[str, str, str]]) -> dict[str, Any]:
    units = [
        {"matcher": {"id": "byName", "options": heading}, "properties": [{"id": "unit", "value": unit}]}
        for heading, _, unit in columns.values()
        if unit
    ]
    target = {
        **{"refId": "A", "datasource": SOURCE, "type": "json", "source": "url", "parser": "backend", "format": "table"},
        **{"url": url, "url_options": {"method": "GET", "data": ""}, "root_selector": root},
        "columns": [{"selector": name, "text": heading, "type": kind} for name, (heading, kind, _) in columns.items()],
    }
    return {
        "id": panel_id(title),
        "type": "table",
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"h": 9, "w": 24, "x": 0, "y": 9 * index},
        "targets": [target],
        "fieldConfig": {"defaults": {"noValue": "No data"}, "overrides": units},
    }

"""Addresses with which alerts, dashboards, runbooks and the service link to each other. A panel's id follows from its title."""

from dataclasses import dataclass
from json import dumps
from urllib.parse import quote, urlencode
from zlib import crc32

GRAFANA_URL = "http://127.0.0.1:3000"
SERVICE_URL = "http://127.0.0.1:8080"
ONCALL = "plimsoll-oncall"
BUDGETS = "plimsoll-budgets"
POOL = "plimsoll-pool"
REPLICA = "plimsoll-replica"
GPU = "plimsoll-gpu"
CAPACITY = "plimsoll-capacity"


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel that others link to: its dashboard's uid and its title. A test checks that it exists."""

    dashboard: str
    title: str

    @property
    def id(self) -> int:
        """Panel ID, derived from the title."""
        return panel_id(self.title)


BURN = Panel(BUDGETS, "Burn rate by SLO")
BUDGET = Panel(BUDGETS, "Error budget remaining by SLO")
TTFT = Panel(ONCALL, "Time to first token")
TPOT = Panel(ONCALL, "Time per output token")
E2E = Panel(ONCALL, "End-to-end latency")
SERVED = Panel(ONCALL, "Completed requests")
LOST = Panel(ONCALL, "Failed, rejected, and abandoned requests")
TOKENS = Panel(ONCALL, "Tokens per second")
QUEUE = Panel(ONCALL, "Waiting requests")
KV_CACHE = Panel(ONCALL, "KV cache usage")
REPLICAS = Panel(ONCALL, "Replicas up")
GPUS = Panel(ONCALL, "GPUs up")
COLLECTORS = Panel(ONCALL, "Collector status")
ALERTS = Panel(ONCALL, "Firing alerts")
LIKELY_CAUSE = Panel(ONCALL, "Likely cause")
PREEMPTIONS = Panel(ONCALL, "Preemptions")
PREFIX_CACHE = Panel(ONCALL, "Prefix cache hit ratio")
TTFT_BY_REPLICA = Panel(ONCALL, "Time to first token p95 by replica")
TPOT_BY_REPLICA = Panel(POOL, "Time per output token p95")
UPTIME = Panel(ONCALL, "Engine uptime")
COVERAGE = Panel(BUDGETS, "Data coverage")
NODES = Panel(CAPACITY, "Nodes: up vs. recommended")
ROLES = Panel(POOL, "Replicas by role")
KV_TRANSFERS = Panel(REPLICA, "KV cache transfer failures")
GPU_HEALTH = Panel(GPU, "GPU health")
GPU_XIDS = Panel(GPU, "Time since last XID error")
GPU_CLOCKS = Panel(GPU, "Clock throttling by reason")
GPU_STRAGGLERS = Panel(ONCALL, "GPU stragglers")
GPU_FABRIC = Panel(GPU, "NVSwitch fabric")
GPU_STATES = Panel(GPU, "GPUs not readable")
GPU_NVLINKS = Panel(GPU, "NVLinks down")


def panel_id(title: str) -> int:
    """Return a positive 31-bit ID that depends on the title only."""
    return (crc32(title.encode()) & 0x7FFFFFFF) or 1


def dashboard_url(uid: str, base: str = GRAFANA_URL) -> str:
    """Return the URL of a dashboard. An empty base gives the path, for links inside Grafana."""
    return f"{base}/d/{uid}"


def panel_url(panel: Panel, base: str = GRAFANA_URL, **variables: str) -> str:
    """Return the URL of one panel with dashboard variables set. A value can be a Prometheus template.

    Grafana 10.4 to 13 accept the plain number; 10.4 does not support `panel-<id>`.
    """
    values = {f"var-{name}": value.replace(" ", "") for name, value in variables.items()}
    return f"{dashboard_url(panel.dashboard, base)}?{urlencode({'viewPanel': panel.id, **values}, safe='{}$.')}"


def runbook_url(alert: str, base: str = SERVICE_URL, **labels: str) -> str:
    """Return the address of an alert's runbook on the SLO service, which fills in the labels: no other host has to be up."""
    return f"{runbooks_url(base)}/{quote(alert)}" + (f"?{urlencode(labels)}" if labels else "")


def explore_url(query: str, base: str = GRAFANA_URL, span: tuple[float, float] | None = None) -> str:
    """Return the address that opens a PromQL query in Grafana Explore, with the default data source and a span in Unix seconds (default: the
    last hour)."""
    start, end = (str(round(1000 * at)) for at in span) if span else ("now-1h", "now")
    pane = {"queries": [{"refId": "A", "expr": query}], "range": {"from": start, "to": end}}
    return f"{base}/explore?{urlencode({'schemaVersion': 1, 'panes': dumps({'a': pane}), 'orgId': 1})}"


def runbooks_url(base: str = SERVICE_URL) -> str:
    """Return the address of the page with all runbooks."""
    return f"{base}/runbooks"


def slo_page(objective: str, base: str = SERVICE_URL) -> str:
    """Return the URL of an SLO's page: status, causes of bad requests, and whether more nodes would help."""
    return f"{base}/slos/{objective}"


def pool_page(pool: str, base: str = SERVICE_URL) -> str:
    """Return the URL of a pool's page: recommendation and evidence."""
    return f"{base}/pools/{pool}"

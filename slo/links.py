"""Links between alerts, dashboards, runbooks, and the service. Panel IDs are derived from titles, so they stay stable."""

from dataclasses import dataclass
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
    """A panel that an alert links to: the dashboard's uid and the panel's title. A test checks that it exists."""

    dashboard: str
    title: str

    @property
    def id(self) -> int:
        """Panel ID, derived from the title."""
        return panel_id(self.title)


BURN = Panel(BUDGETS, "Burn rate by objective")
BUDGET = Panel(BUDGETS, "Budget left by objective")
TTFT = Panel(ONCALL, "Time to first token")
TPOT = Panel(ONCALL, "Time per output token")
E2E = Panel(ONCALL, "Whole request")
SERVED = Panel(ONCALL, "Requests served")
LOST = Panel(ONCALL, "Requests lost")
TOKENS = Panel(ONCALL, "Tokens per second")
QUEUE = Panel(ONCALL, "Waiting requests")
KV_CACHE = Panel(ONCALL, "KV-cache usage")
REPLICAS = Panel(ONCALL, "Replicas up")
GPUS = Panel(ONCALL, "GPUs up")
COLLECTORS = Panel(ONCALL, "Collectors that failed")
ALERTS = Panel(ONCALL, "Firing alerts")
INCIDENT_SIGNATURES = Panel(ONCALL, "What it looks like")
PREEMPTIONS = Panel(ONCALL, "Preemptions")
PREFIX_CACHE = Panel(ONCALL, "Prefix-cache hits")
TTFT_BY_REPLICA = Panel(ONCALL, "Time to first token by replica, p95")
TPOT_BY_REPLICA = Panel(POOL, "Time per output token, p95")
UPTIME = Panel(ONCALL, "Time since the engine started")
COVERAGE = Panel(BUDGETS, "Coverage")
NODES = Panel(CAPACITY, "Nodes serving and recommended")
GPU_HEALTH = Panel(GPU, "Health")
GPU_XIDS = Panel(GPU, "Time since an XID error")
GPU_CLOCKS = Panel(GPU, "Clocks held down, by reason")
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


def runbook_url(alert: str, base: str = SERVICE_URL) -> str:
    """Return the URL of an alert's runbook. The SLO service serves it, so that it works without internet access."""
    return f"{runbooks_url(base)}#{quote(alert.lower())}"


def runbooks_url(base: str = SERVICE_URL) -> str:
    """Return the URL of the page with all runbooks."""
    return f"{base}/runbooks"


def objective_page(objective: str, base: str = SERVICE_URL) -> str:
    """Return the URL of an SLO's page: status, causes of bad requests, and whether more nodes would help."""
    return f"{base}/slos/{objective}"


def pool_page(pool: str, base: str = SERVICE_URL) -> str:
    """Return the URL of a pool's page: recommendation and evidence."""
    return f"{base}/pools/{pool}"

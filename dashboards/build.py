"""All dashboards of an objectives file, as files."""

from plimsoll.dashboards import budgets, capacity, gpu, oncall, pool, provisioning, replica
from plimsoll.dashboards.normalize import to_json
from plimsoll.slo import links
from plimsoll.slo.spec.objectives import Spec

DASHBOARDS = {
    "oncall.json": oncall.dashboard,
    "budgets.json": budgets.dashboard,
    "pool.json": pool.dashboard,
    "replica.json": replica.dashboard,
    "gpu.json": gpu.dashboard,
    "capacity.json": capacity.dashboard,
}


def boards(spec: Spec, service: str = links.SERVICE_URL) -> dict[str, str]:
    """Texts of the dashboards by file name; `service` is where a browser reaches the SLO service.

    Pure: the same input gives the same bytes. Links inside Grafana have no host, so nothing else depends on the site.
    """
    return {
        name: to_json(build(spec)).replace(links.SERVICE_URL, service.rstrip("/")) for name, build in DASHBOARDS.items()
    }


def render(spec: Spec, service: str = links.SERVICE_URL) -> dict[str, str]:
    """Texts of all files by name: the dashboards, and what provisions them."""
    return {**boards(spec, service), **provisioning.files()}


def render_kubernetes(spec: Spec, service: str = links.SERVICE_URL) -> dict[str, str]:
    """Texts of the ConfigMaps that hold the same dashboards and data sources, by name."""
    return provisioning.config_maps(boards(spec, service))

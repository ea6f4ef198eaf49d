"""Renders the dashboards of an objectives file."""

from plimsoll.dashboards import budgets, capacity, gpu, oncall, pool, provisioning, replica
from plimsoll.dashboards.normalize import to_json
from plimsoll.dashboards.topology.match_filters import narrowed
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
    """Return the JSON text of each dashboard by file name; `service` is the SLO service's URL for browsers.

    The same input gives the same bytes. Links inside Grafana are paths, so that they work on any host.
    """
    return {
        name: narrowed(to_json(build(spec)), spec).replace(links.SERVICE_URL, service.rstrip("/"))
        for name, build in DASHBOARDS.items()
    }


def render(spec: Spec, service: str = links.SERVICE_URL) -> dict[str, str]:
    """Return the text of each file by name: the dashboards and their provisioning."""
    return {**boards(spec, service), **provisioning.files()}


def render_kubernetes(spec: Spec, service: str = links.SERVICE_URL) -> dict[str, str]:
    """Return the text of each ConfigMap, with the same dashboards, by name."""
    return provisioning.config_maps(boards(spec, service))

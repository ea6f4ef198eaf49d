"""Alerts on the NVSwitch fabric: not joined, degraded, split, and the switches' own errors."""

from collections.abc import Iterable

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import DURATION, GPU, GROUP, INSTANCE, PoolFilter, pool_filters
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Spec

EACH = "instance, uuid"
COMPLETED, UNHEALTHY, LIMITED = 3, 2, 3  # of gpu_fabric_state and gpu_fabric_health
SXID_SECONDS = 600


def fabric_alerts(spec: Spec) -> list[Alert]:
    """Return pages for each pool and for GPUs of no pool, and tickets."""
    sizes = {pool.name: pool.node.gpus // pool.node.replicas for pool in spec.pools}
    pages = [page for name, keep in pool_filters(spec) for page in (_not_ready(name, keep), _fatal(name, keep))]
    splits = [_split(name, keep, sizes[name]) for name, keep in pool_filters(spec) if name and sizes[name] > 1]
    return [*pages, *splits, *_tickets()]


def _not_ready(pool: str, keep: PoolFilter) -> Alert:
    failed = f"{c.GPU_FABRIC_STATE} < {COMPLETED} or {c.GPU_FABRIC_STATUS} > 0 or {c.GPU_FABRIC_HEALTH} == {UNHEALTHY}"
    return Alert(
        name="GPUFabricNotReady",
        severity="page",
        expr=keep(f"group by ({EACH}) ({failed})", "instance"),
        hold=300,
        summary=f"The NVSwitch fabric on {INSTANCE} isn't ready.",
        description=(
            f"GPU {GPU} on {INSTANCE} hasn't joined the NVSwitch fabric, or the fabric is unhealthy. CUDA doesn't start there, or "
            f"NVLink traffic fails. Check the fabric manager's log (`journalctl -u nvidia-fabricmanager`).{GROUP}"
        ),
        panel=links.GPU_FABRIC,
        pool=pool,
    )


def _fatal(pool: str, keep: PoolFilter) -> Alert:
    return Alert(
        name="NVSwitchSXIDError",
        severity="page",
        expr=keep(_recent("fatal"), "instance"),
        summary=f"An NVSwitch on {INSTANCE} had a fatal error.",
        description=(
            f"NVSwitch {{{{ $labels.pci_bus_id }}}} on {INSTANCE} reported fatal SXid {{{{ $labels.sxid }}}} {DURATION} ago. "
            "Every GPU of the node may be affected. Next: drain the node, then restart the fabric manager and reset all GPUs."
        ),
        panel=links.GPU_FABRIC,
        pool=pool,
    )


def _recent(severity: str) -> str:
    last = f'max by (instance, pci_bus_id, sxid) ({c.SXID_LAST}{{severity="{severity}"}})'
    return f"time() - {last} < {SXID_SECONDS}"


def _split(pool: str, keep: PoolFilter, gpus: int) -> Alert:
    """Return the page on a node outside the clique of its cluster, for a pool whose replicas span nodes."""
    cliques = f"count by (cluster, clique) ({c.GPU_FABRIC_INFO})"
    largest = f"max by (cluster) ({cliques})"
    outside = f"({cliques} < on (cluster) group_left () {largest})"
    spans = f"(count by (instance) ({c.GPU_INFO}) < {gpus})"
    nodes = f"(group by (instance, cluster, clique) ({c.GPU_FABRIC_INFO}) and on (cluster, clique) {outside} and on (instance) {spans})"
    return Alert(
        name="GPUFabricSplit",
        severity="page",
        expr=keep(nodes, "instance"),
        hold=300,
        summary=f"{INSTANCE} is outside the NVLink clique of its cluster.",
        description=(
            f"The GPUs of {INSTANCE} are in clique {{{{ $labels.clique }}}} of NVLink cluster {{{{ $labels.cluster }}}}, apart from "
            f"most others. A replica of {gpus} GPUs that spans it can't use NVLink. Check the IMEX domain and the switch trays."
        ),
        panel=links.GPU_FABRIC,
        pool=pool,
    )


def _tickets() -> Iterable[Alert]:
    degraded = f"{c.GPU_FABRIC_FAULT} == 1 or {c.GPU_FABRIC_HEALTH} == {LIMITED}"
    yield Alert(
        name="GPUFabricDegraded",
        severity="ticket",
        expr=f"group by ({EACH}) ({degraded})",
        hold=600,
        summary=f"The NVSwitch fabric on {INSTANCE} is degraded.",
        description=f"GPU {GPU} on {INSTANCE} reports a degraded NVSwitch fabric. Tensor parallelism there is slower.{GROUP}",
        panel=links.GPU_FABRIC,
    )
    yield Alert(
        name="NVSwitchSXIDError",
        severity="ticket",
        expr=_recent("non_fatal"),
        summary=f"An NVSwitch on {INSTANCE} had an error.",
        description=(
            f"NVSwitch {{{{ $labels.pci_bus_id }}}} on {INSTANCE} reported SXid {{{{ $labels.sxid }}}} {DURATION} ago (not fatal). "
            "Repeated errors: check the NVLink counters and the fabric manager's log."
        ),
        panel=links.GPU_FABRIC,
    )

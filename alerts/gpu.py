"""Alerts on GPUs: lost, sick, worn out or held back. What wakes someone names the pool; the rest is the hardware owner's.

The driver's own verdict (`gpu_recovery_action`) decides; an XID says why.
"""

from collections.abc import Iterable

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import GPU, INSTANCE, PERCENT, SECONDS, VALUE, OwnedHardware, one_of, owners
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics.xids import XIDS, Severity
from plimsoll.slo.spec.objectives import Spec

EACH = "instance, uuid"
HOT = (
    "software_thermal|hardware_thermal|hardware_power_brake"  # reasons that cost tokens; a power cap is another alert's
)
ACTIONS = {
    1: "a GPU reset",
    2: "a node reboot",
    3: "peer-to-peer traffic to be drained",
    4: "the GPU drained and reset",
    5: "the IMEX domain recovered",
    6: "a bus reset",
    7: "a system reboot",
}


def gpu_alerts(spec: Spec) -> list[Alert]:
    """List every alert on GPUs: pages for each pool and for GPUs of none, then tickets."""
    pages = [page for name, owned in owners(spec) for page in _pages(name, owned)]
    return [*_lost(spec), *pages, _xid("ticket"), *_memory_tickets(), *_held_back(), *_links()]


def _lost(spec: Spec) -> list[Alert]:
    """Say which replicas go with a GPU: with tensor parallelism its whole group stops."""
    sizes = {pool.name: pool.node.gpus // pool.node.replicas for pool in spec.pools}
    info = f'last_over_time({c.REPLICA_INFO}{{instance=\\"%s\\"}}[1d])'
    names = f'{{{{ range query (printf "{info}" $labels.instance) }}}} {{{{ .Labels.replica }}}}{{{{ end }}}}'
    return [
        Alert(
            name="GPULost",
            severity="page",
            expr=owned(f"{c.GPU_UP} == 0", "instance"),
            hold=60,
            summary=f"{INSTANCE}: a GPU is lost",
            description=f"GPU {GPU} behind {INSTANCE} is expected and does not answer."
            + (
                f" A replica there runs on {sizes[name]} GPU{'s' * (sizes[name] > 1)} and stops with any of them:{names}."
                if name
                else ""
            ),
            panel=links.GPUS,
            pool=name,
        )
        for name, owned in owners(spec)
    ]


def _pages(pool: str, owned: OwnedHardware) -> list[Alert]:
    faults = (c.GPU_REMAP_FAILED, c.GPU_SRAM_THRESHOLD_EXCEEDED, c.GPU_MEMORY_UNREPAIRABLE)
    failed = f"max by ({EACH}) ({' or '.join(f'{fault} == 1' for fault in faults)})"
    asked = one_of("(printf `%.0f` $value)", {str(number): text for number, text in ACTIONS.items()}, "a recovery")
    return [
        Alert(
            name="GPURecoveryRequired",
            severity="page",
            expr=owned(f"max by ({EACH}) ({c.GPU_RECOVERY_ACTION}) > 0", "instance"),
            hold=60,
            summary=f"{INSTANCE}: a GPU needs recovery",
            description=f"The driver's own verdict on GPU {GPU} behind {INSTANCE}: it needs {asked}. Drain the node first.",
            panel=links.GPU_HEALTH,
            pool=pool,
        ),
        _xid("page", pool, owned),
        Alert(
            name="GPUMemoryUnrepairable",
            severity="page",
            expr=owned(failed, "instance"),
            summary=f"{INSTANCE}: a GPU's memory cannot repair itself",
            description=f"GPU {GPU} behind {INSTANCE} could not replace a bad memory row, has a fault that no repair mends, or its SRAM errors passed the vendor's limit: replace it.",
            panel=links.GPU_HEALTH,
            pool=pool,
        ),
    ]


def _xid(severity: Severity, pool: str = "", owned: OwnedHardware = lambda vector, on: vector) -> Alert:
    """An XID of the last ten minutes, by the table of severities. Its time is read, not its count: the first one tells."""
    rows = {str(xid.number): f"{xid.meaning}; {xid.action}" for xid in XIDS.values() if xid.severity == severity}
    numbers = "|".join(rows)
    told = f'max by (instance, uuid, xid) ({c.GPU_XID_LAST}{{xid=~"{numbers}"}})'
    return Alert(
        name="GPUXIDError",
        severity=severity,
        expr=owned(f"time() - {told} < 600", "instance"),
        summary=f"{INSTANCE}: GPU error XID {{{{ $labels.xid }}}}",
        description=f"GPU {GPU} behind {INSTANCE} reported XID {{{{ $labels.xid }}}} {SECONDS} ago: {one_of('$labels.xid', rows, 'see the table')}.",
        panel=links.GPU_XIDS,
        pool=pool,
    )


def _ticket(name: str, expr: str, summary: str, description: str, panel: links.Panel, hold: float = 0) -> Alert:
    return Alert(
        name, "ticket", expr, f"{INSTANCE}: {summary}", f"GPU {GPU} behind {INSTANCE} {description}", panel, hold=hold
    )


def _memory_tickets() -> Iterable[Alert]:
    waiting = (c.GPU_REMAP_PENDING, c.GPU_RETIRED_PENDING, c.GPU_REPAIR_PENDING)
    pending = f"max by ({EACH}) ({' or '.join(f'{repair} == 1' for repair in waiting)})"
    errors = f'sum by ({EACH}) (increase({c.GPU_ECC_ERRORS}{{error="uncorrected"}}[1h]))'
    yield _ticket(
        "GPUResetPending",
        pending,
        "a GPU waits for a reset",
        "has a repair ready that its next reset brings: do it at the next drain.",
        links.GPU_HEALTH,
        600,
    )
    yield _ticket(
        "GPUUncorrectableECCErrors",
        f"{errors} > 0",
        "uncorrected GPU memory errors",
        f"had {VALUE} uncorrected memory errors within an hour: what ran there may have failed.",
        links.GPU_HEALTH,
    )


def _held_back() -> Iterable[Alert]:
    clock = f"{c.GPU_CLOCK}{{domain=`sm`,uuid=`%s`}}".replace("`", '\\"')
    most = clock.replace(c.GPU_CLOCK.name, c.GPU_CLOCK_MAX.name)
    lost = f"1 - avg_over_time({clock}[10m]) / on (instance, uuid) {most}"
    kept = (
        f'{{{{ with query (printf "{lost}" $labels.uuid $labels.uuid) }}}}{{{{ . | first | value | humanizePercentage }}}}'
        "{{ else }}an unknown share{{ end }}"
    )
    yield _ticket(
        "GPUClocksThrottled",
        f'max by ({EACH}, reason) (avg_over_time({c.GPU_CLOCK_LIMITED}{{reason=~"{HOT}"}}[10m])) > 0.1',
        f"a GPU's clocks held down {PERCENT} of the time",
        f"ran slower because of {{{{ $labels.reason }}}} for {PERCENT} of the last 10 minutes; its SM clock lost {kept} of its most.",
        links.GPU_CLOCKS,
    )
    limit, shipped = (f"max by ({EACH}) ({metric})" for metric in (c.GPU_POWER_LIMIT, c.GPU_POWER_LIMIT_DEFAULT))
    yield _ticket(
        "GPUPowerLimitReduced",
        f"{limit} < 0.98 * {shipped}",
        f"a GPU is capped at {VALUE} W",
        f"may draw {VALUE} W, less than it was shipped with: someone or something set a limit, and tokens pay for it.",
        links.GPU_CLOCKS,
        600,
    )


def _links() -> Iterable[Alert]:
    yield _ticket(
        "GPUNVLinkDown",
        f"count by ({EACH}) ({c.GPU_NVLINK_UP} == 0 and max_over_time({c.GPU_NVLINK_UP}[1d]) == 1)",
        f"{VALUE} NVLinks of a GPU went down",
        f"has {VALUE} NVLinks down that were up within a day: tensor parallelism slows or stops.",
        links.GPU_NVLINKS,
        60,
    )
    yield _ticket(
        "GPUNVLinkErrors",
        f'sum by ({EACH}) (increase({c.GPU_NVLINK_ERRORS}{{kind=~"recovery|recovery_failed"}}[1h])) > 0.5',
        "an NVLink had to recover",
        f"trained its NVLinks again {VALUE} times within an hour: each time its traffic stood still.",
        links.GPU_NVLINKS,
    )
    width, most = (f"max by ({EACH}) ({metric})" for metric in (c.GPU_PCIE_WIDTH, c.GPU_PCIE_WIDTH_MAX))
    yield _ticket(
        "GPUPCIeLinkDegraded",
        f"{width} < {most}",
        f"a GPU has only {VALUE} PCIe lanes",
        f"runs on {VALUE} PCIe lanes, fewer than GPU and slot can: a bad contact or riser. Loading and offloading slow down.",
        links.GPU_HEALTH,
        600,
    )

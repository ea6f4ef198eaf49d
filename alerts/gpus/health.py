"""Alerts on GPUs: lost, in need of recovery or repair, throttled. Pages name the pool; tickets are for the hardware owner.

The recovery action that the driver requests (`gpu_recovery_action`) takes precedence; an XID gives the cause.
"""

from collections.abc import Iterable

from plimsoll.alerts.gpus.fabric import fabric_alerts
from plimsoll.alerts.gpus.groups import degradation_alerts
from plimsoll.alerts.rules import Alert, ticket
from plimsoll.alerts.templates import DURATION, GPU, GROUP, INSTANCE, PERCENT, VALUE, PoolFilter, pool_filters, text_for
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics.xids import XIDS, Severity
from plimsoll.slo.spec.objectives import Spec

EACH = "instance, uuid"
# Throttle reasons that reduce throughput. A power cap has its own alert.
NOT_READABLE = "GPUNotReadable"
THROTTLED = "software_thermal|hardware_thermal|hardware_power_brake"
# Values of gpu_recovery_action, as NVML defines them.
ACTIONS = {
    1: "a GPU reset",
    2: "a node reboot",
    3: "draining peer-to-peer traffic",
    4: "draining and resetting the GPU",
    5: "recovery of the IMEX domain",
    6: "a bus reset",
    7: "a system reboot",
}


def gpu_alerts(spec: Spec) -> list[Alert]:
    """Return every alert on GPUs: pages for each pool and for GPUs of no pool, then tickets."""
    pages = [page for name, keep in pool_filters(spec) for page in _pages(name, keep)]
    tickets = [*_memory_tickets(), *_throttled(), *_links(), *_unreported(), *degradation_alerts()]
    return [*_lost(spec), *pages, _xid("ticket"), *fabric_alerts(spec), *tickets]


def _lost(spec: Spec) -> list[Alert]:
    """Return the alerts on lost GPUs. Each names the replicas affected: with tensor parallelism the whole group stops."""
    sizes = {pool.name: pool.node.gpus // pool.node.replicas for pool in spec.pools}
    info = f'last_over_time({c.REPLICA_INFO}{{instance=\\"%s\\"}}[1d])'
    names = f'{{{{ range query (printf "{info}" $labels.instance) }}}} {{{{ .Labels.replica }}}}{{{{ end }}}}'
    return [
        Alert(
            name="GPULost",
            severity="page",
            expr=keep(f"{c.GPU_UP} == 0", "instance"),
            hold=60,
            summary=f"A GPU on {INSTANCE} isn't responding.",
            description=f"GPU {GPU} on {INSTANCE} is expected but doesn't respond."
            + (
                f" Replicas there use {sizes[name]} GPU{'s' * (sizes[name] > 1)} each and stop if any fails:{names}."
                if name
                else ""
            )
            + f"{GROUP} If it was removed on purpose, run `plimsoll gpus forget {GPU}`.",
            panel=links.GPUS,
            pool=name,
        )
        for name, keep in pool_filters(spec)
    ]


def _pages(pool: str, keep: PoolFilter) -> list[Alert]:
    faults = (c.GPU_REMAP_FAILED, c.GPU_SRAM_THRESHOLD_EXCEEDED, c.GPU_MEMORY_UNREPAIRABLE)
    failed = f"max by ({EACH}) ({' or '.join(f'{fault} == 1' for fault in faults)})"
    action = text_for("(printf `%.0f` $value)", {str(number): text for number, text in ACTIONS.items()}, "recovery")
    return [
        Alert(
            name="GPURecoveryRequired",
            severity="page",
            expr=keep(f"max by ({EACH}) ({c.GPU_RECOVERY_ACTION}) > 0", "instance"),
            hold=60,
            summary=f"A GPU on {INSTANCE} needs recovery.",
            description=f"The driver requests {action} for GPU {GPU} on {INSTANCE}. Drain the node first.{GROUP}",
            panel=links.GPU_HEALTH,
            pool=pool,
        ),
        _xid("page", pool, keep),
        Alert(
            name="GPUMemoryUnrepairable",
            severity="page",
            expr=keep(failed, "instance"),
            summary=f"GPU memory on {INSTANCE} can't be repaired.",
            description=(
                f"GPU {GPU} on {INSTANCE} failed to remap a row, has unrepairable memory, or exceeded its SRAM error "
                f"threshold. Replace it.{GROUP}"
            ),
            panel=links.GPU_HEALTH,
            pool=pool,
        ),
    ]


def _xid(severity: Severity, pool: str = "", keep: PoolFilter = lambda vector, on: vector) -> Alert:
    """Return the alert on XIDs of the last ten minutes. It reads their time: a count would miss the first one."""
    rows = {str(xid.number): f"{xid.meaning}. Next: {xid.action}" for xid in XIDS.values() if xid.severity == severity}
    numbers = "|".join(rows)
    last = f'max by (instance, uuid, xid) ({c.GPU_XID_LAST}{{xid=~"{numbers}"}})'
    return Alert(
        name="GPUXIDError",
        severity=severity,
        expr=keep(f"time() - {last} < 600", "instance"),
        summary=f"{'A critical' if severity == 'page' else 'An'} XID error occurred on {INSTANCE}.",
        description=(
            f"GPU {GPU} on {INSTANCE} reported XID {{{{ $labels.xid }}}} {DURATION} ago: "
            f"{text_for('$labels.xid', rows, 'unknown error. Next: see the runbook')}.{GROUP}"
        ),
        panel=links.GPU_XIDS,
        pool=pool,
    )


def _memory_tickets() -> Iterable[Alert]:
    repairs = (c.GPU_REMAP_PENDING, c.GPU_RETIRED_PENDING, c.GPU_REPAIR_PENDING)
    pending = f"max by ({EACH}) ({' or '.join(f'{repair} == 1' for repair in repairs)})"
    errors = f'sum by ({EACH}) (increase({c.GPU_ECC_ERRORS}{{error="uncorrected"}}[1h]))'
    yield ticket(
        "GPUResetPending",
        pending,
        f"A GPU on {INSTANCE} needs a reset.",
        f"GPU {GPU} on {INSTANCE} has a pending repair that takes effect at reset. Reset it at the next drain.",
        links.GPU_HEALTH,
        600,
    )
    yield ticket(
        "GPUUncorrectableECCErrors",
        f"{errors} > 0",
        f"A GPU on {INSTANCE} has uncorrectable ECC errors.",
        f"GPU {GPU} on {INSTANCE} had {VALUE} uncorrectable ECC errors in the last hour. Workloads on it may have failed.",
        links.GPU_HEALTH,
    )


def _unreported() -> Iterable[Alert]:
    reasons = {
        "driver_mismatch": "library and driver have different versions. Reboot the node, or restart the exporter's container",
        "devices_lost": "its container lost its devices. Restart the exporter's container",
        "no_permission": "it has no permission. Check the container's devices and cgroup",
        "driver_not_loaded": "the driver isn't loaded",
        "not_bound": "another driver has them. If that is on purpose, run `plimsoll gpus forget UUID`",
    }
    yield ticket(
        NOT_READABLE,
        f'count by (instance, reason) ({c.GPU_NOT_READABLE}{{reason!="paused"}} == 1)',
        f"GPUs on {INSTANCE} can't be read.",
        f"The exporter on {INSTANCE} can't ask {VALUE} GPUs: "
        f"{text_for('$labels.reason', reasons, '{{ $labels.reason }}')}. Engines may be fine, but a GPU that fails isn't seen.",
        links.GPU_STATES,
        300,
    )
    names = f'{c.GPU_METRIC_MISSING}{{instance=\\"%s\\",uuid=\\"%s\\"}}'
    listed = f'{{{{ range query (printf "{names}" $labels.instance $labels.uuid) | sortByLabel "metric" }}}} {{{{ .Labels.metric }}}}{{{{ end }}}}'
    yield ticket(
        "GPUMetricMissing",
        f"count by ({EACH}) ({c.GPU_METRIC_MISSING} == 1)",
        f"A GPU on {INSTANCE} no longer reports some metrics.",
        f"GPU {GPU} on {INSTANCE} no longer reports {VALUE} metrics (nvidia-smi: ERR!):{listed}. Alerts on them can't fire.",
        links.GPU_STATES,
        600,
    )
    yield ticket(
        "GPUInfoROMCorrupted",
        f"max by ({EACH}) ({c.GPU_INFOROM_CORRUPTED}) == 1",
        f"The InfoROM of a GPU on {INSTANCE} is corrupted.",
        f"The driver reports a corrupted InfoROM of GPU {GPU} on {INSTANCE}. It computes, but its error record isn't reliable.",
        links.GPU_HEALTH,
        600,
    )


def _throttled() -> Iterable[Alert]:
    clock = f"{c.GPU_CLOCK}{{domain=`sm`,uuid=`%s`}}".replace("`", '\\"')
    highest = clock.replace(c.GPU_CLOCK.name, c.GPU_CLOCK_MAX.name)
    lost = f"1 - avg_over_time({clock}[10m]) / on (instance, uuid) {highest}"
    below = (
        f'{{{{ with query (printf "{lost}" $labels.uuid $labels.uuid) }}}}{{{{ . | first | value | humanizePercentage }}}}'
        "{{ else }}an unknown ratio{{ end }}"
    )
    yield ticket(
        "GPUClocksThrottled",
        f'max by ({EACH}, reason) (avg_over_time({c.GPU_CLOCK_LIMITED}{{reason=~"{THROTTLED}"}}[10m])) > 0.1',
        f"A GPU on {INSTANCE} is throttled.",
        f"GPU {GPU} on {INSTANCE} was throttled ({{{{ $labels.reason }}}}) for {PERCENT} of the last 10 minutes; "
        f"its SM clock averaged {below} below maximum.",
        links.GPU_CLOCKS,
    )
    limit, default = (f"max by ({EACH}) ({metric})" for metric in (c.GPU_POWER_LIMIT, c.GPU_POWER_LIMIT_DEFAULT))
    yield ticket(
        "GPUPowerLimitReduced",
        f"{limit} < 0.98 * {default}",
        f"A GPU on {INSTANCE} runs below its default power limit.",
        f"The power limit of GPU {GPU} on {INSTANCE} is {VALUE} W, below its default. Throughput is reduced.",
        links.GPU_CLOCKS,
        600,
    )


def _links() -> Iterable[Alert]:
    yield ticket(
        "GPUNVLinkDown",
        f"count by ({EACH}) ({c.GPU_NVLINK_UP} == 0 and max_over_time({c.GPU_NVLINK_UP}[1d]) == 1)",
        f"NVLinks of a GPU on {INSTANCE} are down.",
        f"GPU {GPU} on {INSTANCE} has {VALUE} NVLinks down that were up in the last day. "
        "Tensor parallelism slows down or stops.",
        links.GPU_NVLINKS,
        60,
    )
    yield ticket(
        "GPUNVLinkErrors",
        f'sum by ({EACH}) (increase({c.GPU_NVLINK_ERRORS}{{kind=~"recovery|recovery_failed"}}[1h])) > 0.5',
        f"An NVLink on {INSTANCE} recovered from errors.",
        f"NVLinks of GPU {GPU} on {INSTANCE} retrained {VALUE} times in the last hour. Traffic pauses each time.",
        links.GPU_NVLINKS,
    )
    width, widest = (f"max by ({EACH}) ({metric})" for metric in (c.GPU_PCIE_WIDTH, c.GPU_PCIE_WIDTH_MAX))
    yield ticket(
        "GPUPCIeLinkDegraded",
        f"{width} < {widest}",
        f"A PCIe link on {INSTANCE} runs below its maximum width.",
        f"GPU {GPU} on {INSTANCE} uses {VALUE} PCIe lanes, fewer than supported. Check card, riser, and slot. "
        "Loading and offloading are slower.",
        links.GPU_HEALTH,
        600,
    )

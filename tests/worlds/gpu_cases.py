"""Cases of the alerts on GPUs (`health_cases.Case`)."""

from typing import Any

from health_cases import END, GPU, MODEL, NODE, POOL, Case, Given, flat, given, ramp
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded

_INFO = given(c.REPLICA_INFO, flat(1), **NODE, replica="r1", model=MODEL, engine="vllm", version="1", simulated="false")


def _gpu(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    severity = rest.pop("severity", "ticket")
    own = {**rest.pop("of", GPU), "severity": severity, **rest.pop("labels", {})}
    return Case(alert, severity, over, under, own, **rest)


def _page(alert: str, over: list[Given], under: list[Given], **rest: Any) -> list[Case]:
    """A page that names the pool where the node serves one, and none where it does not."""
    labels = rest.pop("labels", {})
    named = _gpu(
        alert,
        [*over, _INFO],
        [*under, _INFO],
        severity="page",
        labels={**labels, "pool": POOL},
        url={"pool": POOL},
        **rest,
    )
    return [named, _gpu(alert, over, under, severity="page", labels=labels, **rest)]


def _xid(xid: str, ago: int) -> list[Given]:
    """An XID that was reported `ago` seconds before the two hours end."""
    return [given(c.GPU_XID_LAST, flat(7200 - ago), **GPU, xid=xid)]


def _clock(share: float, reason: str) -> list[Given]:
    return [
        given(c.GPU_CLOCK_LIMITED, flat(share), **GPU, reason=reason),
        given(c.GPU_CLOCK, flat(1.5e9), **GPU, domain="sm"),
        given(c.GPU_CLOCK_MAX, flat(2e9), **GPU, domain="sm"),
    ]


_MEMBERS = [
    given(c.GPU_ASSIGNMENT, flat(1), **{**GPU, "uuid": uuid}, replica="r1", model=MODEL) for uuid in ("GPU-1", "GPU-2")
]
_MEMBERS += [given(c.GPU_POD, flat(1), **GPU, mig_uuid="", namespace="serving", pod="vllm-0", container="engine")]
_WHO = " Replica: r1. Pod: serving/vllm-0/engine. Other GPUs of its group: GPU-2."
_NOT_READY = (
    "GPU GPU-1 on node-a:9800 hasn't joined the NVSwitch fabric, or the fabric is unhealthy. CUDA doesn't start there, or NVLink "
    "traffic fails. Check the fabric manager's log (`journalctl -u nvidia-fabricmanager`)."
)


def _fabric(state: int, status: int = 0, health: int = 1) -> list[Given]:
    return [
        given(c.GPU_FABRIC_STATE, flat(state), **GPU),
        given(c.GPU_FABRIC_STATUS, flat(status), **GPU),
        given(c.GPU_FABRIC_HEALTH, flat(health), **GPU),
    ]


def _sxid(severity: str, ago: int) -> list[Given]:
    return [given(c.SXID_LAST, flat(7200 - ago), **NODE, pci_bus_id="0000:c1:00.0", sxid="20034", severity=severity)]


def _ratio(value: float, against: str = "group") -> list[Given]:
    labels = {**GPU, "replica": "r1", "model": MODEL, "domain": "sm", "against": against}
    return [given(recorded.CLOCK_RATIO, flat(value), **labels)]


def _slow(over: list[Given], under: list[Given], percent: str, who: str = "") -> Case:
    return _gpu(
        "GPUSlowerThanFellows",
        over=over,
        under=under,
        labels={"domain": "sm"},
        summary="A GPU on node-a:9800 is slower than its fellows.",
        description=f"The sm clock of GPU GPU-1 on node-a:9800 is {percent} of that of GPUs with the same work. "
        f"A replica runs at the pace of its slowest GPU.{who}",
        panel=links.GPU_STRAGGLERS,
    )


FABRIC = [
    *(
        case
        for broken in (_fabric(2), _fabric(3, status=24), _fabric(3, health=2))
        for case in _page(
            "GPUFabricNotReady",
            over=broken,
            under=_fabric(3, health=3),
            summary="The NVSwitch fabric on node-a:9800 isn't ready.",
            description=_NOT_READY,
            panel=links.GPU_FABRIC,
        )
    ),
    *_page(
        "NVSwitchSXIDError",
        over=_sxid("fatal", 585),
        under=_sxid("fatal", 600),
        of=NODE,
        labels={"pci_bus_id": "0000:c1:00.0", "sxid": "20034"},
        summary="An NVSwitch on node-a:9800 had a fatal error.",
        description="NVSwitch 0000:c1:00.0 on node-a:9800 reported fatal SXid 20034 9m 45s ago. Every GPU of the node may be "
        "affected. Next: drain the node, then restart the fabric manager and reset all GPUs.",
        panel=links.GPU_FABRIC,
    ),
    _gpu(
        "NVSwitchSXIDError",
        over=_sxid("non_fatal", 60),
        under=_sxid("non_fatal", 600),
        of=NODE,
        labels={"pci_bus_id": "0000:c1:00.0", "sxid": "20034"},
        summary="An NVSwitch on node-a:9800 had an error.",
        description="NVSwitch 0000:c1:00.0 on node-a:9800 reported SXid 20034 1m 0s ago (not fatal). "
        "Repeated errors: check the NVLink counters and the fabric manager's log.",
        panel=links.GPU_FABRIC,
    ),
    _gpu(
        "GPUFabricDegraded",
        over=[given(c.GPU_FABRIC_FAULT, flat(1), **GPU, fault="degraded_bandwidth"), *_MEMBERS],
        under=[given(c.GPU_FABRIC_FAULT, flat(0), **GPU, fault="degraded_bandwidth"), *_fabric(3)],
        summary="The NVSwitch fabric on node-a:9800 is degraded.",
        description="GPU GPU-1 on node-a:9800 reports a degraded NVSwitch fabric. Tensor parallelism there is slower."
        + _WHO,
        panel=links.GPU_FABRIC,
    ),
]
DEGRADED = [
    _slow(_ratio(0.89) + _MEMBERS, _ratio(0.91), "89%", _WHO),
    _slow(_ratio(0.89, "fleet"), _ratio(0.91, "fleet"), "89%"),
    _gpu(
        "GPUNotReadable",
        over=[given(c.GPU_NOT_READABLE, flat(1), **{**GPU, "uuid": f"GPU-{n}"}, reason="devices_lost") for n in (1, 2)],
        under=[given(c.GPU_NOT_READABLE, flat(1), **GPU, reason="paused"), given(c.GPU_UP, flat(0), **GPU)],
        of=NODE,
        labels={"reason": "devices_lost"},
        summary="GPUs on node-a:9800 can't be read.",
        description="The exporter on node-a:9800 can't ask 2 GPUs: its container lost its devices. Restart the exporter's "
        "container. Engines may be fine, but a GPU that fails isn't seen.",
        panel=links.GPU_STATES,
    ),
    _gpu(
        "GPUMetricMissing",
        over=[
            given(c.GPU_METRIC_MISSING, flat(1), **GPU, metric=str(metric)) for metric in (c.GPU_ENERGY, c.GPU_POWER)
        ],
        under=[given(c.GPU_METRIC_MISSING, f"_x{END - 30} 1x30", **GPU, metric=str(c.GPU_POWER))],
        summary="A GPU on node-a:9800 no longer reports some metrics.",
        description="GPU GPU-1 on node-a:9800 no longer reports 2 metrics (nvidia-smi: ERR!): "
        "gpu_energy_joules_total gpu_power_watts. Alerts on them can't fire.",
        panel=links.GPU_STATES,
    ),
    _gpu(
        "GPUInfoROMCorrupted",
        over=[given(c.GPU_INFOROM_CORRUPTED, flat(1), **GPU)],
        under=[given(c.GPU_INFOROM_CORRUPTED, f"_x{END - 30} 1x30", **GPU)],
        summary="The InfoROM of a GPU on node-a:9800 is corrupted.",
        description="The driver reports a corrupted InfoROM of GPU GPU-1 on node-a:9800. "
        "It computes, but its error record isn't reliable.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUCorrectedECCErrorsHigh",
        over=[given(c.GPU_ECC_ERRORS, ramp(0.5), **GPU, error="corrected")],
        under=[given(c.GPU_ECC_ERRORS, ramp(0.4), **GPU, error="corrected")],
        summary="A GPU on node-a:9800 corrects many memory errors.",
        description="GPU GPU-1 on node-a:9800 corrected 120 memory errors in the last hour. Uncorrectable ones often follow.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUMemorySparesLow",
        over=[
            given(c.GPU_REMAP_BANKS, flat(n), **GPU, spare=spare)
            for n, spare in ((600, "max"), (2, "low"), (1, "none"))
        ],
        under=[
            given(c.GPU_REMAP_BANKS, flat(n), **GPU, spare=spare)
            for n, spare in ((600, "max"), (9, "partial"), (0, "low"))
        ],
        summary="A GPU on node-a:9800 has few spare memory rows.",
        description="3 memory banks of GPU GPU-1 on node-a:9800 have few or no spare rows. Plan its replacement.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUPCIeReplaysHigh",
        over=[given(c.GPU_PCIE_REPLAYS, ramp(0.275), **GPU)],
        under=[given(c.GPU_PCIE_REPLAYS, ramp(0.225), **GPU)],
        summary="A PCIe link on node-a:9800 repeats packets.",
        description="GPU GPU-1 on node-a:9800 sent 66 PCIe packets again in the last hour. Check card, riser, and slot.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUPCIeGenerationReduced",
        over=[
            given(c.GPU_PCIE_GENERATION, flat(3), **GPU),
            given(c.GPU_PCIE_GENERATION_MAX, flat(5), **GPU),
            given(c.GPU_BUSY, flat(0.6), **GPU),
        ],
        under=[
            given(c.GPU_PCIE_GENERATION, flat(3), **GPU),
            given(c.GPU_PCIE_GENERATION_MAX, flat(5), **GPU),
            given(c.GPU_BUSY, flat(0.4), **GPU),
        ],
        summary="A busy GPU on node-a:9800 uses an old PCIe generation.",
        description="GPU GPU-1 on node-a:9800 is busy and its PCIe link runs at generation 3, below its maximum.",
        panel=links.GPU_HEALTH,
    ),
]
# In the pool chat-70b a replica has more GPUs than these nodes: it spans them.
_OTHERS = [
    given(c.GPU_FABRIC_INFO, flat(1), instance="node-b:9800", uuid=f"GPU-b{n}", cluster="ab", clique="1")
    for n in (1, 2)
]
SPLIT = [
    Case(
        "GPUFabricSplit",
        "page",
        over=[
            _INFO,
            *_OTHERS,
            given(c.GPU_FABRIC_INFO, flat(1), **GPU, cluster="ab", clique="7"),
            given(c.GPU_INFO, flat(1), **GPU),
        ],
        under=[
            _INFO,
            *_OTHERS,
            given(c.GPU_FABRIC_INFO, flat(1), **GPU, cluster="ab", clique="1"),
            given(c.GPU_INFO, flat(1), **GPU),
        ],
        labels={**NODE, "cluster": "ab", "clique": "7", "severity": "page", "pool": POOL},
        summary="node-a:9800 is outside the NVLink clique of its cluster.",
        description="The GPUs of node-a:9800 are in clique 7 of NVLink cluster ab, apart from most others. "
        "A replica of 2 GPUs that spans it can't use NVLink. Check the IMEX domain and the switch trays.",
        panel=links.GPU_FABRIC,
        url={"pool": POOL},
    ),
]
GPUS = [
    *FABRIC,
    *DEGRADED,
    *SPLIT,
    *_page(
        "GPURecoveryRequired",
        over=[given(c.GPU_RECOVERY_ACTION, flat(2), **GPU), *_MEMBERS],
        under=[given(c.GPU_RECOVERY_ACTION, flat(0), **GPU)],
        summary="A GPU on node-a:9800 needs recovery.",
        description="The driver requests a node reboot for GPU GPU-1 on node-a:9800. Drain the node first." + _WHO,
        panel=links.GPU_HEALTH,
    ),
    *_page(
        "GPUXIDError",
        over=_xid("79", 585),
        under=_xid("79", 600) + _xid("13", 60),
        labels={"xid": "79"},
        summary="A critical XID error occurred on node-a:9800.",
        description="GPU GPU-1 on node-a:9800 reported XID 79 9m 45s ago: the GPU fell off the bus. "
        "Next: cordon the node, then power-cycle it.",
        panel=links.GPU_XIDS,
    ),
    _gpu(
        "GPUXIDError",
        over=_xid("94", 60),
        under=_xid("13", 60),
        labels={"xid": "94"},
        summary="An XID error occurred on node-a:9800.",
        description="GPU GPU-1 on node-a:9800 reported XID 94 1m 0s ago: a contained memory error that affected one application. "
        "Next: restart the engine; reset the GPU at the next drain.",
        panel=links.GPU_XIDS,
    ),
    *_page(
        "GPUMemoryUnrepairable",
        over=[given(c.GPU_REMAP_FAILED, flat(0), **GPU), given(c.GPU_SRAM_THRESHOLD_EXCEEDED, flat(1), **GPU)],
        under=[given(c.GPU_REMAP_FAILED, flat(0), **GPU), given(c.GPU_SRAM_THRESHOLD_EXCEEDED, flat(0), **GPU)],
        summary="GPU memory on node-a:9800 can't be repaired.",
        description="GPU GPU-1 on node-a:9800 failed to remap a row, has unrepairable memory, "
        "or exceeded its SRAM error threshold. Replace it.",
        panel=links.GPU_HEALTH,
    ),
    *_page(
        "GPUMemoryUnrepairable",
        over=[given(c.GPU_MEMORY_UNREPAIRABLE, flat(1), **GPU)],
        under=[given(c.GPU_MEMORY_UNREPAIRABLE, flat(0), **GPU)],
        summary="GPU memory on node-a:9800 can't be repaired.",
        description="GPU GPU-1 on node-a:9800 failed to remap a row, has unrepairable memory, "
        "or exceeded its SRAM error threshold. Replace it.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUResetPending",
        over=[given(c.GPU_REMAP_PENDING, flat(1), **GPU)],
        under=[given(c.GPU_REMAP_PENDING, f"0x{END - 30} 1x30", **GPU), given(c.GPU_RETIRED_PENDING, flat(0), **GPU)],
        summary="A GPU on node-a:9800 needs a reset.",
        description="GPU GPU-1 on node-a:9800 has a pending repair that takes effect at reset. Reset it at the next drain.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUResetPending",
        over=[given(c.GPU_REPAIR_PENDING, flat(1), **GPU, part="tpc"), given(c.GPU_REMAP_PENDING, flat(0), **GPU)],
        under=[given(c.GPU_REPAIR_PENDING, flat(0), **GPU, part="tpc"), given(c.GPU_REMAP_PENDING, flat(0), **GPU)],
        summary="A GPU on node-a:9800 needs a reset.",
        description="GPU GPU-1 on node-a:9800 has a pending repair that takes effect at reset. Reset it at the next drain.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUUncorrectableECCErrors",
        over=[given(c.GPU_ECC_ERRORS, ramp(0.0125), **GPU, error="uncorrected")],
        under=[
            given(c.GPU_ECC_ERRORS, flat(7), **GPU, error="uncorrected"),
            given(c.GPU_ECC_ERRORS, ramp(9), **GPU, error="corrected"),
        ],
        summary="A GPU on node-a:9800 has uncorrectable ECC errors.",
        description="GPU GPU-1 on node-a:9800 had 3 uncorrectable ECC errors in the last hour. Workloads on it may have failed.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUClocksThrottled",
        over=_clock(0.125, "hardware_thermal"),
        under=_clock(0.0625, "hardware_thermal") + _clock(1, "software_power_cap"),
        labels={"reason": "hardware_thermal"},
        summary="A GPU on node-a:9800 is throttled.",
        description="GPU GPU-1 on node-a:9800 was throttled (hardware_thermal) for 12.5% of the last 10 minutes; "
        "its SM clock averaged 25% below maximum.",
        panel=links.GPU_CLOCKS,
    ),
    _gpu(
        "GPUPowerLimitReduced",
        over=[given(c.GPU_POWER_LIMIT, flat(650), **GPU), given(c.GPU_POWER_LIMIT_DEFAULT, flat(700), **GPU)],
        under=[given(c.GPU_POWER_LIMIT, flat(690), **GPU), given(c.GPU_POWER_LIMIT_DEFAULT, flat(700), **GPU)],
        summary="A GPU on node-a:9800 runs below its default power limit.",
        description="The power limit of GPU GPU-1 on node-a:9800 is 650 W, below its default. Throughput is reduced.",
        panel=links.GPU_CLOCKS,
    ),
    _gpu(
        "GPUNVLinkDown",
        over=[given(c.GPU_NVLINK_UP, "1x400 0x80", **GPU, link="3"), given(c.GPU_NVLINK_UP, flat(1), **GPU, link="4")],
        under=[given(c.GPU_NVLINK_UP, flat(0), **GPU, link="3"), given(c.GPU_NVLINK_UP, flat(1), **GPU, link="4")],
        summary="NVLinks of a GPU on node-a:9800 are down.",
        description="GPU GPU-1 on node-a:9800 has 1 NVLinks down that were up in the last day. "
        "Tensor parallelism slows down or stops.",
        panel=links.GPU_NVLINKS,
    ),
    _gpu(
        "GPUNVLinkErrors",
        over=[given(c.GPU_NVLINK_ERRORS, ramp(0.0125), **GPU, link="3", kind="recovery")],
        under=[
            given(c.GPU_NVLINK_ERRORS, flat(4), **GPU, link="3", kind="recovery"),
            given(c.GPU_NVLINK_ERRORS, ramp(1), **GPU, link="3", kind="crc_flit"),
        ],
        summary="An NVLink on node-a:9800 recovered from errors.",
        description="NVLinks of GPU GPU-1 on node-a:9800 retrained 3 times in the last hour. Traffic pauses each time.",
        panel=links.GPU_NVLINKS,
    ),
    _gpu(
        "GPUPCIeLinkDegraded",
        over=[given(c.GPU_PCIE_WIDTH, flat(8), **GPU), given(c.GPU_PCIE_WIDTH_MAX, flat(16), **GPU)],
        under=[given(c.GPU_PCIE_WIDTH, flat(16), **GPU), given(c.GPU_PCIE_WIDTH_MAX, flat(16), **GPU)],
        summary="A PCIe link on node-a:9800 runs below its maximum width.",
        description="GPU GPU-1 on node-a:9800 uses 8 PCIe lanes, fewer than supported. Check card, riser, and slot. "
        "Loading and offloading are slower.",
        panel=links.GPU_HEALTH,
    ),
]

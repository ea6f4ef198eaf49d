"""Cases of the alerts on GPUs (`health_cases.Case`)."""

from typing import Any

from health_cases import END, GPU, MODEL, NODE, POOL, Case, Given, flat, given, ramp
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded

INFO = given(c.REPLICA_INFO, flat(1), **NODE, replica="r1", model=MODEL, engine="vllm", version="1", simulated="false")


def gpu_case(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    severity = rest.pop("severity", "ticket")
    own = {**rest.pop("of", GPU), "severity": severity, **rest.pop("labels", {})}
    own |= {"impact": "risk"} if severity == "page" else {}
    return Case(alert, severity, over, under, own, **rest)


def page_cases(alert: str, over: list[Given], under: list[Given], **rest: Any) -> list[Case]:
    """A page that names the pool where the node serves one, and none where it does not."""
    labels = rest.pop("labels", {})
    named = gpu_case(
        alert,
        [*over, INFO],
        [*under, INFO],
        severity="page",
        labels={**labels, "pool": POOL},
        url={"pool": POOL},
        **rest,
    )
    return [named, gpu_case(alert, over, under, severity="page", labels=labels, **rest)]


def _xid(xid: str, ago: int) -> list[Given]:
    """An XID that was reported `ago` seconds before the two hours end."""
    return [given(c.GPU_XID_LAST, flat(7200 - ago), **GPU, xid=xid)]


def _clock(share: float, reason: str) -> list[Given]:
    return [
        given(c.GPU_CLOCK_LIMITED, flat(share), **GPU, reason=reason),
        given(c.GPU_CLOCK, flat(1.5e9), **GPU, domain="sm"),
        given(c.GPU_CLOCK_MAX, flat(2e9), **GPU, domain="sm"),
    ]


MEMBERS = [
    given(c.GPU_ASSIGNMENT, flat(1), **{**GPU, "uuid": uuid}, replica="r1", model=MODEL) for uuid in ("GPU-1", "GPU-2")
]
MEMBERS += [given(c.GPU_POD, flat(1), **GPU, mig_uuid="", namespace="serving", pod="vllm-0", container="engine")]
WHO = " Replica: r1. Pod: serving/vllm-0/engine. Other GPUs of its group: GPU-2."


def _ratio(value: float, against: str = "group") -> list[Given]:
    labels = {**GPU, "replica": "r1", "model": MODEL, "domain": "sm", "against": against}
    return [given(recorded.CLOCK_RATIO, flat(value), **labels)]


ACTIVE = {**GPU, "replica": "r1", "model": MODEL}


def _activity(value: float) -> list[Given]:
    return [given(recorded.ACTIVITY_RATIO, flat(value), **ACTIVE)]


def _slow(over: list[Given], under: list[Given], percent: str, who: str = "") -> Case:
    return gpu_case(
        "GPUSlowerThanFellows",
        over=over,
        under=under,
        labels={"domain": "sm"},
        summary="A GPU on node-a:9800 is slower than its fellows.",
        description=f"The sm clock of GPU GPU-1 on node-a:9800 is {percent} of that of GPUs with the same work. "
        f"A replica runs at the pace of its slowest GPU.{who}",
        panel=links.GPU_STRAGGLERS,
    )


DEGRADED = [
    _slow(_ratio(0.89) + MEMBERS, _ratio(0.91), "89%", WHO),
    _slow(_ratio(0.89, "fleet"), _ratio(0.91, "fleet"), "89%"),
    gpu_case(
        "GPUDelaysItsGroup",
        over=[*_activity(1.12), given(recorded.ACTIVITY_BASELINE, flat(1.02), **ACTIVE)],
        under=[*_activity(1.09), given(recorded.ACTIVITY_BASELINE, flat(1.02), **ACTIVE)],
        summary="The other GPUs of a replica on node-a:9800 wait for one.",
        description="The SM activity of GPU GPU-1 on node-a:9800, compared with its replica's other GPUs, is 10% above its usual. "
        "They wait for it in each step.",
        panel=links.GPU_STRAGGLERS,
    ),
    gpu_case(
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
    gpu_case(
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
    gpu_case(
        "GPUInfoROMCorrupted",
        over=[given(c.GPU_INFOROM_CORRUPTED, flat(1), **GPU)],
        under=[given(c.GPU_INFOROM_CORRUPTED, f"_x{END - 30} 1x30", **GPU)],
        summary="The InfoROM of a GPU on node-a:9800 is corrupted.",
        description="The driver reports a corrupted InfoROM of GPU GPU-1 on node-a:9800. "
        "It computes, but its error record isn't reliable.",
        panel=links.GPU_HEALTH,
    ),
    gpu_case(
        "GPUCorrectedECCErrorsHigh",
        over=[given(c.GPU_ECC_ERRORS, ramp(0.5), **GPU, error="corrected")],
        under=[given(c.GPU_ECC_ERRORS, ramp(0.4), **GPU, error="corrected")],
        summary="A GPU on node-a:9800 corrects many memory errors.",
        description="GPU GPU-1 on node-a:9800 corrected 120 memory errors in the last hour. Uncorrectable ones often follow.",
        panel=links.GPU_HEALTH,
    ),
    gpu_case(
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
    gpu_case(
        "GPUPCIeReplaysHigh",
        over=[given(c.GPU_PCIE_REPLAYS, ramp(0.275), **GPU)],
        under=[given(c.GPU_PCIE_REPLAYS, ramp(0.225), **GPU)],
        summary="A PCIe link on node-a:9800 repeats packets.",
        description="GPU GPU-1 on node-a:9800 sent 66 PCIe packets again in the last hour. Check card, riser, and slot.",
        panel=links.GPU_HEALTH,
    ),
    gpu_case(
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
GPUS = [
    *DEGRADED,
    *page_cases(
        "GPURecoveryRequired",
        over=[given(c.GPU_RECOVERY_ACTION, flat(2), **GPU), *MEMBERS],
        under=[given(c.GPU_RECOVERY_ACTION, flat(0), **GPU)],
        summary="A GPU on node-a:9800 needs recovery.",
        description="The driver requests a node reboot for GPU GPU-1 on node-a:9800. Drain the node first." + WHO,
        panel=links.GPU_HEALTH,
    ),
    *page_cases(
        "GPUXIDError",
        over=_xid("79", 585),
        under=_xid("79", 600) + _xid("13", 60),
        labels={"xid": "79"},
        summary="A critical XID error occurred on node-a:9800.",
        description="GPU GPU-1 on node-a:9800 reported XID 79 9m 45s ago: the GPU fell off the bus. "
        "Next: cordon the node, then power-cycle it.",
        panel=links.GPU_XIDS,
    ),
    gpu_case(
        "GPUXIDError",
        over=_xid("94", 60),
        under=_xid("13", 60),
        labels={"xid": "94"},
        summary="An XID error occurred on node-a:9800.",
        description="GPU GPU-1 on node-a:9800 reported XID 94 1m 0s ago: a contained memory error that affected one application. "
        "Next: restart the engine; reset the GPU at the next drain.",
        panel=links.GPU_XIDS,
    ),
    *page_cases(
        "GPUMemoryUnrepairable",
        over=[given(c.GPU_REMAP_FAILED, flat(0), **GPU), given(c.GPU_SRAM_THRESHOLD_EXCEEDED, flat(1), **GPU)],
        under=[given(c.GPU_REMAP_FAILED, flat(0), **GPU), given(c.GPU_SRAM_THRESHOLD_EXCEEDED, flat(0), **GPU)],
        summary="GPU memory on node-a:9800 can't be repaired.",
        description="GPU GPU-1 on node-a:9800 failed to remap a row, has unrepairable memory, "
        "or exceeded its SRAM error threshold. Replace it.",
        panel=links.GPU_HEALTH,
    ),
    *page_cases(
        "GPUMemoryUnrepairable",
        over=[given(c.GPU_MEMORY_UNREPAIRABLE, flat(1), **GPU)],
        under=[given(c.GPU_MEMORY_UNREPAIRABLE, flat(0), **GPU)],
        summary="GPU memory on node-a:9800 can't be repaired.",
        description="GPU GPU-1 on node-a:9800 failed to remap a row, has unrepairable memory, "
        "or exceeded its SRAM error threshold. Replace it.",
        panel=links.GPU_HEALTH,
    ),
    gpu_case(
        "GPUResetPending",
        over=[given(c.GPU_REMAP_PENDING, flat(1), **GPU)],
        under=[given(c.GPU_REMAP_PENDING, f"0x{END - 30} 1x30", **GPU), given(c.GPU_RETIRED_PENDING, flat(0), **GPU)],
        summary="A GPU on node-a:9800 needs a reset.",
        description="GPU GPU-1 on node-a:9800 has a pending repair that takes effect at reset. Reset it at the next drain.",
        panel=links.GPU_HEALTH,
    ),
    gpu_case(
        "GPUResetPending",
        over=[given(c.GPU_REPAIR_PENDING, flat(1), **GPU, part="tpc"), given(c.GPU_REMAP_PENDING, flat(0), **GPU)],
        under=[given(c.GPU_REPAIR_PENDING, flat(0), **GPU, part="tpc"), given(c.GPU_REMAP_PENDING, flat(0), **GPU)],
        summary="A GPU on node-a:9800 needs a reset.",
        description="GPU GPU-1 on node-a:9800 has a pending repair that takes effect at reset. Reset it at the next drain.",
        panel=links.GPU_HEALTH,
    ),
    gpu_case(
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
    gpu_case(
        "GPUClocksThrottled",
        over=_clock(0.125, "hardware_thermal"),
        under=_clock(0.0625, "hardware_thermal") + _clock(1, "software_power_cap"),
        labels={"reason": "hardware_thermal"},
        summary="A GPU on node-a:9800 is throttled.",
        description="GPU GPU-1 on node-a:9800 was throttled (hardware_thermal) for 12.5% of the last 10 minutes; "
        "its SM clock averaged 25% below maximum.",
        panel=links.GPU_CLOCKS,
    ),
    gpu_case(
        "GPUPowerLimitReduced",
        over=[given(c.GPU_POWER_LIMIT, flat(650), **GPU), given(c.GPU_POWER_LIMIT_DEFAULT, flat(700), **GPU)],
        under=[given(c.GPU_POWER_LIMIT, flat(690), **GPU), given(c.GPU_POWER_LIMIT_DEFAULT, flat(700), **GPU)],
        summary="A GPU on node-a:9800 runs below its default power limit.",
        description="The power limit of GPU GPU-1 on node-a:9800 is 650 W, below its default. Throughput is reduced.",
        panel=links.GPU_CLOCKS,
    ),
    gpu_case(
        "GPUNVLinkDown",
        over=[given(c.GPU_NVLINK_UP, "1x400 0x80", **GPU, link="3"), given(c.GPU_NVLINK_UP, flat(1), **GPU, link="4")],
        under=[given(c.GPU_NVLINK_UP, flat(0), **GPU, link="3"), given(c.GPU_NVLINK_UP, flat(1), **GPU, link="4")],
        summary="NVLinks of a GPU on node-a:9800 are down.",
        description="GPU GPU-1 on node-a:9800 has 1 NVLinks down that were up in the last day. "
        "Tensor parallelism slows down or stops.",
        panel=links.GPU_NVLINKS,
    ),
    gpu_case(
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
    gpu_case(
        "GPUPCIeLinkDegraded",
        over=[given(c.GPU_PCIE_WIDTH, flat(8), **GPU), given(c.GPU_PCIE_WIDTH_MAX, flat(16), **GPU)],
        under=[given(c.GPU_PCIE_WIDTH, flat(16), **GPU), given(c.GPU_PCIE_WIDTH_MAX, flat(16), **GPU)],
        summary="A PCIe link on node-a:9800 runs below its maximum width.",
        description="GPU GPU-1 on node-a:9800 uses 8 PCIe lanes, fewer than supported. Check card, riser, and slot. "
        "Loading and offloading are slower.",
        panel=links.GPU_HEALTH,
    ),
]

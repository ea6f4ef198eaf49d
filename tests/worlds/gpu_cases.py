"""Cases of the alerts on GPUs (`health_cases.Case`)."""

from typing import Any

from health_cases import END, GPU, MODEL, NODE, POOL, Case, Given, flat, given, ramp
from plimsoll.slo import links
from plimsoll.slo import metrics as c

_INFO = given(c.REPLICA_INFO, flat(1), **NODE, replica="r1", model=MODEL, engine="vllm", version="1", simulated="false")


def _gpu(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    severity = rest.pop("severity", "ticket")
    own = {**GPU, "severity": severity, **rest.pop("labels", {})}
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


GPUS = [
    *_page(
        "GPURecoveryRequired",
        over=[given(c.GPU_RECOVERY_ACTION, flat(2), **GPU)],
        under=[given(c.GPU_RECOVERY_ACTION, flat(0), **GPU)],
        summary="A GPU on node-a:9800 needs recovery.",
        description="The driver requests a node reboot for GPU GPU-1 on node-a:9800. Drain the node first.",
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

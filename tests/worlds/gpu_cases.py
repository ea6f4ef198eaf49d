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
    """An XID that was told so many seconds before the two hours end."""
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
        summary="node-a:9800: a GPU needs recovery",
        description="The driver's own verdict on GPU GPU-1 behind node-a:9800: it needs a node reboot. Drain the node first.",
        panel=links.GPU_HEALTH,
    ),
    *_page(
        "GPUXIDError",
        over=_xid("79", 585),
        under=_xid("79", 600) + _xid("13", 60),
        labels={"xid": "79"},
        summary="node-a:9800: GPU error XID 79",
        description="GPU GPU-1 behind node-a:9800 reported XID 79 9m 45s ago: the GPU fell off the bus; "
        "cordon the node, power it off and on.",
        panel=links.GPU_XIDS,
    ),
    _gpu(
        "GPUXIDError",
        over=_xid("94", 60),
        under=_xid("13", 60),
        labels={"xid": "94"},
        summary="node-a:9800: GPU error XID 94",
        description="GPU GPU-1 behind node-a:9800 reported XID 94 1m 0s ago: a contained memory error: one application was hit; "
        "restart the engine; reset the GPU at the next drain.",
        panel=links.GPU_XIDS,
    ),
    *_page(
        "GPUMemoryUnrepairable",
        over=[given(c.GPU_REMAP_FAILED, flat(0), **GPU), given(c.GPU_SRAM_THRESHOLD_EXCEEDED, flat(1), **GPU)],
        under=[given(c.GPU_REMAP_FAILED, flat(0), **GPU), given(c.GPU_SRAM_THRESHOLD_EXCEEDED, flat(0), **GPU)],
        summary="node-a:9800: a GPU's memory cannot repair itself",
        description="GPU GPU-1 behind node-a:9800 could not replace a bad memory row, has a fault that no repair mends, "
        "or its SRAM errors passed the vendor's limit: replace it.",
        panel=links.GPU_HEALTH,
    ),
    *_page(
        "GPUMemoryUnrepairable",
        over=[given(c.GPU_MEMORY_UNREPAIRABLE, flat(1), **GPU)],
        under=[given(c.GPU_MEMORY_UNREPAIRABLE, flat(0), **GPU)],
        summary="node-a:9800: a GPU's memory cannot repair itself",
        description="GPU GPU-1 behind node-a:9800 could not replace a bad memory row, has a fault that no repair mends, "
        "or its SRAM errors passed the vendor's limit: replace it.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUResetPending",
        over=[given(c.GPU_REMAP_PENDING, flat(1), **GPU)],
        under=[given(c.GPU_REMAP_PENDING, f"0x{END - 30} 1x30", **GPU), given(c.GPU_RETIRED_PENDING, flat(0), **GPU)],
        summary="node-a:9800: a GPU waits for a reset",
        description="GPU GPU-1 behind node-a:9800 has a repair ready that its next reset brings: do it at the next drain.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUResetPending",
        over=[given(c.GPU_REPAIR_PENDING, flat(1), **GPU, part="tpc"), given(c.GPU_REMAP_PENDING, flat(0), **GPU)],
        under=[given(c.GPU_REPAIR_PENDING, flat(0), **GPU, part="tpc"), given(c.GPU_REMAP_PENDING, flat(0), **GPU)],
        summary="node-a:9800: a GPU waits for a reset",
        description="GPU GPU-1 behind node-a:9800 has a repair ready that its next reset brings: do it at the next drain.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUUncorrectableECCErrors",
        over=[given(c.GPU_ECC_ERRORS, ramp(0.0125), **GPU, error="uncorrected")],
        under=[
            given(c.GPU_ECC_ERRORS, flat(7), **GPU, error="uncorrected"),
            given(c.GPU_ECC_ERRORS, ramp(9), **GPU, error="corrected"),
        ],
        summary="node-a:9800: uncorrected GPU memory errors",
        description="GPU GPU-1 behind node-a:9800 had 3 uncorrected memory errors within an hour: what ran there may have failed.",
        panel=links.GPU_HEALTH,
    ),
    _gpu(
        "GPUClocksThrottled",
        over=_clock(0.125, "hardware_thermal"),
        under=_clock(0.0625, "hardware_thermal") + _clock(1, "software_power_cap"),
        labels={"reason": "hardware_thermal"},
        summary="node-a:9800: a GPU's clocks held down 12.5% of the time",
        description="GPU GPU-1 behind node-a:9800 ran slower because of hardware_thermal for 12.5% of the last 10 minutes; "
        "its SM clock lost 25% of its most.",
        panel=links.GPU_CLOCKS,
    ),
    _gpu(
        "GPUPowerLimitReduced",
        over=[given(c.GPU_POWER_LIMIT, flat(650), **GPU), given(c.GPU_POWER_LIMIT_DEFAULT, flat(700), **GPU)],
        under=[given(c.GPU_POWER_LIMIT, flat(690), **GPU), given(c.GPU_POWER_LIMIT_DEFAULT, flat(700), **GPU)],
        summary="node-a:9800: a GPU is capped at 650 W",
        description="GPU GPU-1 behind node-a:9800 may draw 650 W, less than it was shipped with: someone or something set a limit, "
        "and tokens pay for it.",
        panel=links.GPU_CLOCKS,
    ),
    _gpu(
        "GPUNVLinkDown",
        over=[given(c.GPU_NVLINK_UP, "1x400 0x80", **GPU, link="3"), given(c.GPU_NVLINK_UP, flat(1), **GPU, link="4")],
        under=[given(c.GPU_NVLINK_UP, flat(0), **GPU, link="3"), given(c.GPU_NVLINK_UP, flat(1), **GPU, link="4")],
        summary="node-a:9800: 1 NVLinks of a GPU went down",
        description="GPU GPU-1 behind node-a:9800 has 1 NVLinks down that were up within a day: tensor parallelism slows or stops.",
        panel=links.GPU_NVLINKS,
    ),
    _gpu(
        "GPUNVLinkErrors",
        over=[given(c.GPU_NVLINK_ERRORS, ramp(0.0125), **GPU, link="3", kind="recovery")],
        under=[
            given(c.GPU_NVLINK_ERRORS, flat(4), **GPU, link="3", kind="recovery"),
            given(c.GPU_NVLINK_ERRORS, ramp(1), **GPU, link="3", kind="crc_flit"),
        ],
        summary="node-a:9800: an NVLink had to recover",
        description="GPU GPU-1 behind node-a:9800 trained its NVLinks again 3 times within an hour: each time its traffic stood still.",
        panel=links.GPU_NVLINKS,
    ),
    _gpu(
        "GPUPCIeLinkDegraded",
        over=[given(c.GPU_PCIE_WIDTH, flat(8), **GPU), given(c.GPU_PCIE_WIDTH_MAX, flat(16), **GPU)],
        under=[given(c.GPU_PCIE_WIDTH, flat(16), **GPU), given(c.GPU_PCIE_WIDTH_MAX, flat(16), **GPU)],
        summary="node-a:9800: a GPU has only 8 PCIe lanes",
        description="GPU GPU-1 behind node-a:9800 runs on 8 PCIe lanes, fewer than GPU and slot can: a bad contact or riser. "
        "Loading and offloading slow down.",
        panel=links.GPU_HEALTH,
    ),
]

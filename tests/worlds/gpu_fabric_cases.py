"""Cases of the alerts on the NVSwitch fabric (`health_cases.Case`)."""

from gpu_cases import INFO, MEMBERS, WHO, gpu_case, page_cases
from health_cases import GPU, NODE, POOL, Case, Given, flat, given
from plimsoll.slo import links
from plimsoll.slo import metrics as c

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


FABRIC = [
    *(
        case
        for broken in (_fabric(2), _fabric(3, status=24), _fabric(3, health=2))
        for case in page_cases(
            "GPUFabricNotReady",
            over=broken,
            under=_fabric(3, health=3),
            summary="The NVSwitch fabric on node-a:9800 isn't ready.",
            description=_NOT_READY,
            panel=links.GPU_FABRIC,
        )
    ),
    *page_cases(
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
    gpu_case(
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
    gpu_case(
        "GPUFabricDegraded",
        over=[given(c.GPU_FABRIC_FAULT, flat(1), **GPU, fault="degraded_bandwidth"), *MEMBERS],
        under=[given(c.GPU_FABRIC_FAULT, flat(0), **GPU, fault="degraded_bandwidth"), *_fabric(3)],
        summary="The NVSwitch fabric on node-a:9800 is degraded.",
        description="GPU GPU-1 on node-a:9800 reports a degraded NVSwitch fabric. Tensor parallelism there is slower."
        + WHO,
        panel=links.GPU_FABRIC,
    ),
]
_OTHERS = [
    given(c.GPU_FABRIC_INFO, flat(1), instance="node-b:9800", uuid=f"GPU-b{n}", cluster="ab", clique="1")
    for n in (1, 2)
]
SPLIT = [
    Case(
        "GPUFabricSplit",
        "page",
        over=[
            INFO,
            *_OTHERS,
            given(c.GPU_FABRIC_INFO, flat(1), **GPU, cluster="ab", clique="7"),
            given(c.GPU_INFO, flat(1), **GPU),
        ],
        under=[
            INFO,
            *_OTHERS,
            given(c.GPU_FABRIC_INFO, flat(1), **GPU, cluster="ab", clique="1"),
            given(c.GPU_INFO, flat(1), **GPU),
        ],
        labels={**NODE, "cluster": "ab", "clique": "7", "severity": "page", "impact": "risk", "pool": POOL},
        summary="node-a:9800 is outside the NVLink clique of its cluster.",
        description="The GPUs of node-a:9800 are in clique 7 of NVLink cluster ab, apart from most others. "
        "A replica of 2 GPUs that spans it can't use NVLink. Check the IMEX domain and the switch trays.",
        panel=links.GPU_FABRIC,
        url={"pool": POOL},
    ),
]

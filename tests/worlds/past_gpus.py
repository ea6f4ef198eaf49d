"""GPUs of the past fleet: two per replica, with metrics that follow from its load and the incidents."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from plimsoll.exporters.collector import Point
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric

TOTAL, MAX_CLOCK, LIMIT = 80 * 2**30, 1.98e9, 700.0
BROAD = (c.GPU_SM_ACTIVE, c.GPU_TENSOR_ACTIVE, c.GPU_DRAM_BANDWIDTH)
STATELESS = (
    c.GPU_RECOVERY_ACTION,
    c.GPU_REMAP_PENDING,
    c.GPU_REMAP_FAILED,
    c.GPU_RETIRED_PENDING,
    c.GPU_SRAM_THRESHOLD_EXCEEDED,
    c.GPU_MEMORY_UNREPAIRABLE,
)


@dataclass
class Gpu:
    """One GPU: `lost` since it fell off the bus, `hot` while it is thermally throttled."""

    uuid: str
    index: int
    lost: float = math.inf  # since when, in Unix seconds
    hot: bool = False
    _xid: float = math.inf
    _energy: float = 1e6
    _held: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("software_thermal", "software_power_cap"), 0.0)
    )

    def points(self, now: float, seconds: float, busy: float, model: str) -> Iterator[Point]:
        """Return what NVML reports `seconds` after the last call, on a GPU that was `busy` for that fraction of the time."""
        lost = self.lost <= now
        yield self._point(c.GPU_UP, 0 if lost else 1)
        self._xid = min(self._xid, self.lost)
        if self._xid <= now:  # the exporter keeps it when the GPU is back
            yield Point(c.GPU_XID_LAST, {"uuid": self.uuid, "xid": "79"}, self._xid)
            yield Point(c.GPU_XID_ERRORS, {"uuid": self.uuid, "xid": "79"}, 1)
        if lost:
            return
        watts = 110 + 540 * busy * (0.55 if self.hot else 1)
        self._energy += watts * seconds
        self._held["software_thermal"] += seconds * (0.8 if self.hot else 0)
        self._held["software_power_cap"] += seconds * 0.02 * busy
        about = {
            "name": "NVIDIA H100 80GB HBM3",
            "pci_bus_id": f"0000:{self.index:02}:00.0",
            "driver_version": "570",
            "cuda_version": "12.8",
        }
        yield Point(c.GPU_INFO, {"uuid": self.uuid, "index": str(self.index), **about}, 1)
        yield from self._measured(busy, watts)
        yield from self._held_by(model)
        yield Point(c.GPU_ENERGY, {"uuid": self.uuid}, self._energy)
        for reason, held in self._held.items():
            yield Point(c.GPU_CLOCK_LIMITED_SECONDS, {"uuid": self.uuid, "reason": reason}, held)
        for link in range(4):
            yield Point(c.GPU_NVLINK_UP, {"uuid": self.uuid, "link": str(link)}, 1)
            yield Point(c.GPU_NVLINK_ERRORS, {"uuid": self.uuid, "link": str(link), "kind": "crc_flit"}, 0)

    def _measured(self, busy: float, watts: float) -> Iterator[Point]:
        core = 88.0 if self.hot else 38 + 30 * busy
        clock = MAX_CLOCK * (0.42 if self.hot else 1)
        used = 0.92 * TOTAL
        for metric, value in (
            (c.GPU_MEMORY_TOTAL, TOTAL),
            (c.GPU_MEMORY_USED, used),
            (c.GPU_MEMORY_RESERVED, 0.006 * TOTAL),
            (c.GPU_MEMORY_FREE, 0.994 * TOTAL - used),
            (c.GPU_BUSY, 0.7 + 0.3 * busy),
            (c.GPU_FABRIC_STATE, 3),
            (c.GPU_FABRIC_STATUS, 0),
            (c.GPU_POWER, watts),
            (c.GPU_POWER_LIMIT, LIMIT),
            (c.GPU_TEMPERATURE, core),
            (c.GPU_MEMORY_TEMPERATURE, core + 9),
            (c.GPU_TEMPERATURE_MARGIN, 90 - core),
            (c.GPU_PCIE_REPLAYS, 0),
            *((metric, 0) for metric in STATELESS),
            *((metric, share * busy) for metric, share in zip(BROAD, (0.8, 0.4, 0.7), strict=True)),
        ):
            yield self._point(metric, value)
        for domain, now in (("sm", clock), ("memory", 2.6e9)):
            yield Point(c.GPU_CLOCK, {"uuid": self.uuid, "domain": domain}, now)
            yield Point(c.GPU_CLOCK_MAX, {"uuid": self.uuid, "domain": domain}, max(now, MAX_CLOCK))

    def _held_by(self, model: str) -> Iterator[Point]:
        """Yield its assignment and its memory by component: FP8 weights of a 70B model on two GPUs, the rest KV cache."""
        replica = self.uuid.removeprefix("GPU-").rsplit("-", 1)[0]
        for metric in (c.GPU_ASSIGNMENT, c.GPU_ASSIGNMENT_SHARE):
            yield Point(metric, {"uuid": self.uuid, "replica": replica, "model": model}, 1)
        for component, share, mine in (("weights", 0.45, replica), ("kv_cache", 0.47, replica), ("driver", 0.006, "")):
            yield Point(c.GPU_MEMORY_USAGE, {"uuid": self.uuid, "component": component, "replica": mine}, share * TOTAL)

    def _point(self, metric: Metric, value: float) -> Point:
        return Point(metric, {"uuid": self.uuid}, value)


def pair(node: str) -> Sequence[Gpu]:
    """Return the two GPUs of a node."""
    return [Gpu(f"GPU-{node}-{index}", index) for index in range(2)]

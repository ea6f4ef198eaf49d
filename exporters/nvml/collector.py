"""GPU metrics through a vendor's library, read in a child process so that driver failures don't affect the exporter."""

import logging
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.gpu_assignment import GpuAssignment, GpuProcess
from plimsoll.exporters.gpu_health import HealthBoard
from plimsoll.exporters.log_once import OnceLogger
from plimsoll.exporters.nvml import errors
from plimsoll.exporters.nvml.families import Families
from plimsoll.exporters.nvml.inventory import Inventory, pci_address
from plimsoll.exporters.nvml.reader import NOT_RESPONDING, NotReadableError, Reader, all_unknown
from plimsoll.exporters.nvml.requests import Requests
from plimsoll.exporters.nvml.state import GpuState
from plimsoll.exporters.nvml.supervisor import NVML, Report
from plimsoll.slo import metrics

# A child that hasn't responded for this long is replaced; one in which a GPU hangs is too, if a new one reads more GPUs.
STUCK_SECONDS = 60.0
PAUSED, NOT_BOUND = "paused", "not_bound"


class Vendor(NamedTuple):
    """A maker of GPUs: the label `vendor`, the collector's name, the program that reads its library, and its kernel driver."""

    label: str
    name: str
    module: str
    driver: str


NVIDIA = Vendor("nvidia", "nvml", NVML, "nvidia")
AMD = Vendor("amd", "amdsmi", "plimsoll.exporters.amd.child", "amdgpu")
VENDORS = {vendor.label: vendor for vendor in (NVIDIA, AMD)}
_NO_INVENTORY = Path("/nonexistent")  # AMD's driver has none


class GpuCollector:
    """All GPUs of the node by one vendor. A GPU seen once stays expected, until it is forgotten or replaced.

    A GPU has one of three states: it responds (`gpu_up` 1), it doesn't (0), or it can't be asked (`gpu_not_readable` with the
    reason). `collect` must not run concurrently (the runner ensures that); `fallback` may be read meanwhile.
    """

    def __init__(
        self,
        state: GpuState,
        inventory: Inventory | None = None,
        stuck_seconds: float = STUCK_SECONDS,
        assignment: GpuAssignment | None = None,
        board: HealthBoard | None = None,
        vendor: Vendor = NVIDIA,
    ) -> None:
        self.name = vendor.name
        self._vendor = vendor
        self._once = OnceLogger(logging.getLogger(__name__))
        self._state = state
        self.assignment = assignment or GpuAssignment(())
        self._inventory = inventory or (
            Inventory() if vendor is NVIDIA else Inventory(_NO_INVENTORY, driver=vendor.driver)
        )
        self._reader = Reader(vendor.module, state.xid, stuck_seconds)
        self._requests = Requests(state.folder)
        self._families = Families(state.folder)
        self.board = board or HealthBoard()
        self._responded: dict[str, float] = {}  # uuid -> time.monotonic() of its last response
        self._labels: dict[str, dict[str, str]] = {}  # by uuid, the same objects at every scrape
        self._listed: frozenset[str] = frozenset()  # PCI addresses for which the current child was started
        self._reason = NOT_RESPONDING

    @property
    def fallback(self) -> Iterable[Point]:
        """Report every expected GPU as not readable, with the counters so far."""
        return self._with_verdicts(list(self._presence({}, self._reason)))

    @property
    def trouble(self) -> str:
        """Return why this process can't read GPUs that it read before, if a restart of the container may help; else empty."""
        if self._responded and self._reason in (errors.REASONS[18], errors.DEVICES_LOST) and self._reader.hopeless():
            return f"GPUs can't be read ({self._reason}). Restart this container."
        return ""

    def close(self) -> None:
        """End the child process."""
        self._reader.close()

    def collect(self, deadline: float) -> Iterable[Point]:
        """Read all GPUs; raises CollectorError if the library doesn't start or doesn't respond, or lists no GPU."""
        self._take_requests()
        if self._requests.paused_until() is not None:
            self._reader.release()
            self._requests.release()
            return self._with_verdicts(list(self._presence({}, PAUSED)))
        self._discover()
        try:
            reports = self._reader.read(deadline)
        except NotReadableError as error:
            self._reason = error.reason
            raise
        if not reports:
            self._reason = "none_visible"
            raise CollectorError(
                "the driver is loaded and lists no GPU. Give this container its GPUs, or start with --no-gpu."
            )
        self._reason = NOT_RESPONDING
        return self._points(reports)

    def _take_requests(self) -> None:
        forgotten = self._requests.take_forgotten()
        if forgotten:
            self._state.forget(forgotten)
            self._families.forget(forgotten)

    def _discover(self) -> None:
        """Expect what the kernel lists, and list the library's devices again when the kernel lists others than before."""
        listed = self._inventory.addresses()
        if listed - self._listed and self._listed:
            self._reader.restart("devices_changed")
        self._listed = listed or self._listed
        known = {pci_address(info["pci_bus_id"]) for info in self._state.gpus().values()}
        self._state.expect(self._inventory.others(known))

    def _points(self, reports: list[Report]) -> list[Point]:
        up = [report for report in reports if "values" in report]
        now = time.monotonic()
        self._state.expect(report["info"] for report in up)
        self._responded |= {report["info"]["uuid"]: now for report in up}
        for report in reports:
            self._log_trouble(report)
        self.assignment.forget(self._state.gpus())
        if all_unknown(reports):
            self._reason = errors.DEVICES_LOST
            return self._with_verdicts(list(self._presence({}, self._reason)))
        states = {
            report["info"]["uuid"]: errors.REASONS.get(report.get("code", 0), "")
            for report in reports
            if report["info"]
        }
        states |= {report["info"]["uuid"]: "up" for report in up}
        unasked = [report["info"] for report in reports if "unasked" in report]
        states |= {info["uuid"]: NOT_RESPONDING for info in unasked if info}
        unknown = (
            "" if all(unasked) else NOT_RESPONDING
        )  # one that was never asked may be any of those without a report
        points = list(self._presence(states, unknown))
        for report in up:
            points += self._read(report)
        points += self.assignment.replica_pods()
        return self._with_verdicts(points)

    def _read(self, report: Report) -> Iterator[Point]:
        uuid = report["info"]["uuid"]
        points = report["points"]
        yield from points
        for name in self._families.missing(report["info"], report["names"]):
            self._once.failed(f"GPU {uuid} {name}", "no longer reported by the driver (nvidia-smi: ERR!)")
            yield Point(metrics.GPU_METRIC_MISSING, {"uuid": uuid, "metric": name}, 1)
        for name, count in report["rejected"].items():
            yield Point(metrics.GPU_VALUES_REJECTED, {"uuid": uuid, "metric": name}, count)
        if report["processes"] is not None:
            processes = [GpuProcess(*one) for one in report["processes"]]
            yield from self.assignment.gpu(report["info"], processes, points)

    def _log_trouble(self, report: Report) -> None:
        subject = f"GPU {report['index']}"
        if "trouble" in report:
            uuid = report["info"].get("uuid", "with unknown UUID")
            self._once.failed(subject, f"{uuid} {report['trouble']}. Other GPUs aren't affected.")
        else:
            self._once.recovered(subject)

    def _presence(self, states: dict[str, str], reason: str = "") -> Iterator[Point]:
        """Yield each GPU's state: `states` has "up" or why a GPU can't be asked, by UUID; `reason` applies to all others."""
        now = time.monotonic()
        for uuid, info in self._mine().items():
            state = states.get(uuid, reason)
            if state != "up":
                yield from self.assignment.lost(info)
            if not state and self._inventory.unbound(info["pci_bus_id"]):
                state = NOT_BOUND
            if not state and uuid not in states and states:
                self._once.failed(
                    f"GPU {uuid}", f"not listed by the driver. If it was removed, run `plimsoll gpus forget {uuid}`."
                )
            labels = self._labels.setdefault(uuid, {"uuid": uuid})
            if state in ("up", ""):
                yield Point(metrics.GPU_UP, labels, int(state == "up"))
            else:
                yield Point(metrics.GPU_NOT_READABLE, {"uuid": uuid, "reason": state}, 1)
            yield Point(metrics.GPU_INFO, info, 1)
            if uuid in self._responded:
                yield Point(metrics.GPU_RESPONSE_AGE, labels, now - self._responded[uuid])
        if self._vendor is NVIDIA:
            yield from self._state.points()
            for cause, count in list(self._reader.restarts.items()):
                yield Point(metrics.NVML_RESTARTS, {"cause": cause}, count)

    def _mine(self) -> dict[str, dict[str, str]]:
        every = self._state.gpus()
        return {uuid: info for uuid, info in every.items() if info.get("vendor", NVIDIA.label) == self._vendor.label}

    def _with_verdicts(self, points: list[Point]) -> list[Point]:
        return [*points, *self.board.update(points, self.name, self._mine()), *self.board.node(self.name)]

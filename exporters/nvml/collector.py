"""GPU metrics through NVML, read in a child process so that driver failures don't affect the exporter."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.deadline import DeadlineExceeded
from plimsoll.exporters.gpu_assignment import GpuAssignment, GpuProcess
from plimsoll.exporters.log_once import OnceLogger
from plimsoll.exporters.nvml.state import FOLDER, GpuState, pci_address, unknown_gpus
from plimsoll.exporters.nvml.supervisor import Child, ChildExited, Report
from plimsoll.slo import metrics

# Fraction of the scrape's time for the GPUs. The rest is for returning the response on a busy machine before the scrape's
# deadline (a tenth was too little with five runnable tasks per core).
GPU_SHARE = 0.6
MAX_MARGIN = 0.5
# A child that hasn't responded for this long is replaced; one in which a GPU hangs is too, if a new one reads more GPUs.
STUCK_SECONDS = 60.0
# Replacements start immediately, then after 1, 2, 4 ... seconds, and immediately again after a child that ran this long.
MAX_PAUSE = 60.0
STEADY_SECONDS = 60.0
MAX_REPLACEMENT_PAUSE = 3600.0
# Consecutive scrapes with UNKNOWN from every GPU: typical of a container that lost its devices.
UNKNOWN, MAX_UNKNOWN = 999, 3


class NvmlCollector:
    """All GPUs of the node. A GPU seen once stays expected: a lost one keeps `gpu_up 0` and its `gpu_info`.

    `collect` must not run concurrently (the runner ensures that); `fallback` may be read meanwhile.
    """

    name = "nvml"

    def __init__(
        self,
        state: GpuState,
        inventory: Path = FOLDER,
        stuck_seconds: float = STUCK_SECONDS,
        assignment: GpuAssignment | None = None,
    ) -> None:
        self._once = OnceLogger(logging.getLogger(__name__))
        self._state = state
        self._assignment = assignment or GpuAssignment(())
        self._inventory = inventory
        self._stuck_seconds = stuck_seconds
        self._responded: dict[str, float] = {}  # uuid -> time.monotonic() of its last response
        self._labels: dict[str, dict[str, str]] = {}  # by uuid, the same objects at every scrape
        self._restarts: Counter[str] = Counter()
        self._lock = threading.Lock()  # guards the two below: a replacement may happen during a scrape
        self._child: Child | None = None
        self._closed = False
        self._failures, self._not_before, self._why = 0, 0.0, ""
        self._unknown = 0
        self._replacer: threading.Thread | None = None
        self._failed_replacements, self._replace_not_before = 0, 0.0

    @property
    def fallback(self) -> Iterable[Point]:
        """Report every expected GPU as not responding, with the counters so far."""
        return list(self._presence(frozenset()))

    def close(self) -> None:
        """End the child process."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.kill()

    def collect(self, deadline: float) -> Iterable[Point]:
        """Read all GPUs; raises CollectorError if the library doesn't start or doesn't respond."""
        self._discover_gpus()
        reports = self._read_child(deadline)
        up = [report for report in reports if "values" in report]
        now = time.monotonic()
        self._state.expect(report["info"] for report in up)
        self._responded |= {report["info"]["uuid"]: now for report in up}
        for report in reports:
            self._log_trouble(report)
        self._check_child(reports, len(up))
        self._assignment.forget(self._state.gpus())
        answered = frozenset(report["info"]["uuid"] for report in up)
        return [*self._presence(answered), *(point for report in up for point in self._read(report))]

    def _read(self, report: Report) -> list[Point]:
        points = [Point(*one) for one in zip(*report["series"], report["values"], strict=True)]
        if report["processes"] is not None:
            used, reserved = (
                next((point.value for point in points if point.metric is metric), None)
                for metric in (metrics.GPU_MEMORY_USED, metrics.GPU_MEMORY_RESERVED)
            )
            processes = [GpuProcess(*process) for process in report["processes"]]
            points += self._assignment.gpu(report["info"]["uuid"], processes, used, reserved)
        return points

    def _discover_gpus(self) -> None:
        known = {pci_address(info["pci_bus_id"]) for info in self._state.gpus().values()}
        with suppress(OSError):  # no driver, or no permission: NVML reports more
            self._state.expect(unknown_gpus(self._inventory, known))

    def _read_child(self, deadline: float) -> list[Report]:
        now = time.monotonic()
        until = max(deadline - MAX_MARGIN, now + (deadline - now) * GPU_SHARE)
        while True:
            child = self._current_child()
            try:
                return child.ask(until, deadline)
            except DeadlineExceeded:
                if child.overdue_seconds() > self._stuck_seconds:
                    self._drop_child(child, "stuck", "the driver library isn't responding")
                raise CollectorError(
                    "the driver library isn't responding. The reader restarts if this persists."
                ) from None
            except ChildExited as end:
                self._drop_child(child, end.cause, str(end))

    def _current_child(self) -> Child:
        with self._lock:
            if self._child is None:
                if self._closed or time.monotonic() < self._not_before:
                    raise CollectorError(self._why)
                try:
                    self._child = Child(self._state.xid)
                except OSError as error:
                    raise CollectorError(f"the GPU reader process doesn't start: {error}") from error
            return self._child

    def _drop_child(self, child: Child, cause: str, why: str) -> None:
        """Count the end of a child, and set when the next one may start."""
        child.kill()
        now = time.monotonic()
        with self._lock:
            if self._child is not child:  # already replaced
                return
            self._child = None
            self._restarts[cause] += 1
            self._why = why
            if now - child.started > STEADY_SECONDS:
                self._failures = 0
            self._not_before = now + (min(2.0 ** (self._failures - 1), MAX_PAUSE) if self._failures else 0)
            self._failures += 1

    def _log_trouble(self, report: Report) -> None:
        subject = f"GPU {report['index']}"
        if "trouble" in report:
            uuid = report["info"].get("uuid", "with unknown UUID")
            self._once.failed(subject, f"{uuid} {report['trouble']}. Other GPUs aren't affected.")
        else:
            self._once.recovered(subject)

    def _check_child(self, reports: list[Report], up: int) -> None:
        """Replace the child if a new one may read more GPUs."""
        lost = bool(reports) and all(report.get("code") == UNKNOWN for report in reports)
        self._unknown = self._unknown + 1 if lost else 0
        if self._unknown >= MAX_UNKNOWN and self._child is not None:
            self._unknown = 0
            self._drop_child(
                self._child,
                "UNKNOWN",
                "every GPU returns UNKNOWN (999). This container may have lost its GPUs; restart it.",
            )
        stuck = max((report.get("stuck", 0.0) for report in reports), default=0.0)
        busy = self._replacer is not None and self._replacer.is_alive()
        if stuck > self._stuck_seconds and not busy and time.monotonic() >= self._replace_not_before:
            self._replacer = threading.Thread(
                target=self._try_replacement, args=(up,), name="NVML's replacement", daemon=True
            )
            self._replacer.start()

    def _try_replacement(self, up: int) -> None:
        """Replace a child in which a GPU hangs, but only with one that reads more GPUs."""
        with suppress(OSError, DeadlineExceeded, ChildExited):
            candidate = Child(_ignore_xid)
            end = time.monotonic() + self._stuck_seconds
            try:
                better = sum("values" in report for report in candidate.ask(end - 1, end)) > up
            except BaseException:
                candidate.kill()
                raise
            with self._lock:
                if better and self._child is not None and not self._closed:
                    self._child.kill()
                    self._child, self._failed_replacements = candidate, 0
                    candidate.on_xid = self._state.xid
                    self._restarts["stuck"] += 1
                    return
            candidate.kill()
        self._failed_replacements += 1
        self._replace_not_before = time.monotonic() + min(
            self._stuck_seconds * 2.0**self._failed_replacements, MAX_REPLACEMENT_PAUSE
        )

    def _presence(self, up: frozenset[str]) -> Iterator[Point]:
        now = time.monotonic()
        for uuid, info in self._state.gpus().items():
            if uuid not in up:
                yield from self._assignment.lost(uuid)
            labels = self._labels.setdefault(uuid, {"uuid": uuid})
            yield Point(metrics.GPU_UP, labels, int(uuid in up))
            yield Point(metrics.GPU_INFO, info, 1)
            if uuid in self._responded:
                yield Point(metrics.GPU_RESPONSE_AGE, labels, now - self._responded[uuid])
        yield from self._state.points()
        for cause, count in list(self._restarts.items()):
            yield Point(metrics.NVML_RESTARTS, {"cause": cause}, count)


def _ignore_xid(_uuid: str, _xid: int, _at: float) -> None:
    """Ignore XIDs of a candidate, which the current child counts too."""

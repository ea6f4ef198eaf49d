"""GPU numbers through NVML, read in a process of their own: whatever the driver does, the exporter goes on."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.deadline import Late
from plimsoll.exporters.gpu_assignment import Join, Tenant
from plimsoll.exporters.log_once import Journal
from plimsoll.exporters.nvml.state import FOLDER, Memory, pci_address, unknown_gpus
from plimsoll.exporters.nvml.supervisor import Child, ChildExited, Report
from plimsoll.slo import metrics

# The GPUs' share of the scrape's time; the rest is for bringing the answer here, on a machine whose processors may be busy
# (a tenth was too little on one with five runnable tasks per core), before the scrape gives up on all.
GPU_SHARE = 0.6
MOST_MARGIN = 0.5
# A process that has owed an answer for so long is replaced; likewise one in which a GPU hangs, if a new one does better.
STUCK_SECONDS = 60.0
# Replacements come at once, then after 1, 2, 4 ... seconds, and again at once after a process that lasted.
LONGEST_PAUSE = 60.0
STEADY_SECONDS = 60.0
LONGEST_MEND_PAUSE = 3600.0
# That many scrapes in a row in which every GPU says UNKNOWN: so answers a container that lost its devices.
UNKNOWN, MOST_UNKNOWN = 999, 3


class NvmlCollector:
    """All GPUs of the node. A GPU seen once stays expected: lost, it keeps `gpu_up 0` and its `gpu_info`.

    `collect` must not run twice at the same time (the runner sees to that); `fallback` may be read meanwhile.
    """

    name = "nvml"

    def __init__(
        self, memory: Memory, inventory: Path = FOLDER, stuck_seconds: float = STUCK_SECONDS, join: Join | None = None
    ) -> None:
        self._journal = Journal(logging.getLogger(__name__))
        self._memory = memory
        self._join = join or Join(())
        self._inventory = inventory
        self._stuck_seconds = stuck_seconds
        self._answered: dict[str, float] = {}  # uuid -> time.monotonic() of its last answer
        self._labels: dict[str, dict[str, str]] = {}  # by uuid, the same objects at every scrape
        self._ends: Counter[str] = Counter()
        self._lock = threading.Lock()  # of the two below: a replacement may come while a scrape reads
        self._child: Child | None = None
        self._closed = False
        self._failures, self._not_before, self._why = 0, 0.0, ""
        self._unknown = 0
        self._mender: threading.Thread | None = None
        self._mends, self._mend_not_before = 0, 0.0

    @property
    def fallback(self) -> Iterable[Point]:
        """Every expected GPU, not answering, and what was counted so far."""
        return list(self._presence(frozenset()))

    def close(self) -> None:
        """End the process with the library."""
        with self._lock:
            self._closed = True
            if self._child is not None:
                self._child.kill()

    def collect(self, deadline: float) -> Iterable[Point]:
        """Read all GPUs side by side; raises CollectorError if the library does not start or does not answer."""
        self._look_for_gpus()
        reports = self._ask(deadline)
        up = [report for report in reports if "values" in report]
        now = time.monotonic()
        self._memory.expect(report["info"] for report in up)
        self._answered |= {report["info"]["uuid"]: now for report in up}
        for report in reports:
            self._tell(report)
        self._watch_over(reports, len(up))
        self._join.forget(self._memory.gpus())
        answered = frozenset(report["info"]["uuid"] for report in up)
        return [*self._presence(answered), *(point for report in up for point in self._read(report))]

    def _read(self, report: Report) -> list[Point]:
        points = [Point(*one) for one in zip(*report["series"], report["values"], strict=True)]
        if report["processes"] is not None:
            used, reserved = (
                next((point.value for point in points if point.metric is metric), None)
                for metric in (metrics.GPU_MEMORY_USED, metrics.GPU_MEMORY_RESERVED)
            )
            tenants = [Tenant(*process) for process in report["processes"]]
            points += self._join.gpu(report["info"]["uuid"], tenants, used, reserved)
        return points

    def _look_for_gpus(self) -> None:
        known = {pci_address(info["pci_bus_id"]) for info in self._memory.gpus().values()}
        with suppress(OSError):  # no driver, or not ours to see: NVML says more
            self._memory.expect(unknown_gpus(self._inventory, known))

    def _ask(self, deadline: float) -> list[Report]:
        now = time.monotonic()
        until = max(deadline - MOST_MARGIN, now + (deadline - now) * GPU_SHARE)
        while True:
            child = self._present_child()
            try:
                return child.ask(until, deadline)
            except Late:
                if child.silent() > self._stuck_seconds:
                    self._give_up(child, "stuck", "the driver's library gives no answer")
                raise CollectorError(
                    "the driver's library gives no answer; it is started again if that lasts"
                ) from None
            except ChildExited as end:
                self._give_up(child, end.cause, str(end))

    def _present_child(self) -> Child:
        with self._lock:
            if self._child is None:
                if self._closed or time.monotonic() < self._not_before:
                    raise CollectorError(self._why)
                try:
                    self._child = Child(self._memory.xid)
                except OSError as error:
                    raise CollectorError(f"a process to read the GPUs cannot be started: {error}") from error
            return self._child

    def _give_up(self, child: Child, cause: str, why: str) -> None:
        """Count the end of a process, and set when the next one may start."""
        child.kill()
        now = time.monotonic()
        with self._lock:
            if self._child is not child:  # another one has taken its place meanwhile
                return
            self._child = None
            self._ends[cause] += 1
            self._why = why
            if now - child.started > STEADY_SECONDS:
                self._failures = 0
            self._not_before = now + (min(2.0 ** (self._failures - 1), LONGEST_PAUSE) if self._failures else 0)
            self._failures += 1

    def _tell(self, report: Report) -> None:
        subject = f"GPU {report['index']}"
        if "trouble" in report:
            uuid = report["info"].get("uuid", "of unknown UUID")
            self._journal.failed(subject, f"{uuid} {report['trouble']}; the others go on without it")
        else:
            self._journal.well(subject)

    def _watch_over(self, reports: list[Report], up: int) -> None:
        """Replace the process where a new one may do better."""
        lost = bool(reports) and all(report.get("code") == UNKNOWN for report in reports)
        self._unknown = self._unknown + 1 if lost else 0
        if self._unknown >= MOST_UNKNOWN and self._child is not None:
            self._unknown = 0
            self._give_up(
                self._child, "UNKNOWN", "every GPU answers UNKNOWN (999): this container may have lost its GPUs"
            )
        stuck = max((report.get("stuck", 0.0) for report in reports), default=0.0)
        busy = self._mender is not None and self._mender.is_alive()
        if stuck > self._stuck_seconds and not busy and time.monotonic() >= self._mend_not_before:
            self._mender = threading.Thread(target=self._mend, args=(up,), name="NVML's replacement", daemon=True)
            self._mender.start()

    def _mend(self, up: int) -> None:
        """A GPU hangs, and the others must not go dark for it: put a new process in place only if it reads more GPUs."""
        with suppress(OSError, Late, ChildExited):
            candidate = Child(_unheard)
            end = time.monotonic() + self._stuck_seconds
            try:
                better = sum("values" in report for report in candidate.ask(end - 1, end)) > up
            except BaseException:
                candidate.kill()
                raise
            with self._lock:
                if better and self._child is not None and not self._closed:
                    self._child.kill()
                    self._child, self._mends = candidate, 0
                    candidate.tell = self._memory.xid
                    self._ends["stuck"] += 1
                    return
            candidate.kill()
        self._mends += 1
        self._mend_not_before = time.monotonic() + min(self._stuck_seconds * 2.0**self._mends, LONGEST_MEND_PAUSE)

    def _presence(self, up: frozenset[str]) -> Iterator[Point]:
        now = time.monotonic()
        for uuid, info in self._memory.gpus().items():
            if uuid not in up:
                yield from self._join.lost(uuid)
            labels = self._labels.setdefault(uuid, {"uuid": uuid})
            yield Point(metrics.GPU_UP, labels, int(uuid in up))
            yield Point(metrics.GPU_INFO, info, 1)
            if uuid in self._answered:
                yield Point(metrics.GPU_ANSWER_AGE, labels, now - self._answered[uuid])
        yield from self._memory.points()
        for cause, count in list(self._ends.items()):
            yield Point(metrics.NVML_RESTARTS, {"cause": cause}, count)


def _unheard(_uuid: str, _xid: int, _at: float) -> None:
    """Leave the XIDs to the process in place: a candidate would count them twice."""

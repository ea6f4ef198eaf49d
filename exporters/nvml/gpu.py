"""One GPU read through NVML: its identity and its values in base units."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import pynvml

import plimsoll.exporters.nvml.readers  # noqa: F401 - registers every GPU reader
from plimsoll.exporters.nvml.abi import Handle, driver, optional_text, text
from plimsoll.exporters.nvml.bounds import bounds
from plimsoll.exporters.nvml.errors import (
    ABSENT,
    CORRUPTED_INFOROM,
    GPU_FAILED,
    LIBRARY_UNUSABLE,
    UNSUPPORTED,
    describe,
)
from plimsoll.exporters.nvml.processes import FoundProcess, Processes, mps_processes
from plimsoll.exporters.nvml.registry import Reader, Readers, Value, readers_for
from plimsoll.exporters.nvml.xids.events import OnXid, XidWatcher
from plimsoll.slo import metrics

# Seconds until a call that isn't supported is made again: MIG may have been switched off. In a vGPU guest each such call can
# write a line to the kernel's log.
ASK_AGAIN_SECONDS = 600.0


class GpuError(Exception):
    """The GPU doesn't respond; `code` is NVML's (0 of another library, with a description)."""

    def __init__(self, code: int, description: str = "") -> None:
        super().__init__(description or describe(code))
        self.code = code


class Reading(NamedTuple):
    """A GPU's state: the labels of its gpu_info, its values without the label uuid, its processes, and rejected values so far."""

    info: dict[str, str]
    values: list[Value]
    processes: list[FoundProcess] | None
    rejected: dict[str, int]


class Gpu:
    """The GPU at one index of the initialized library. Not thread-safe."""

    def __init__(self, index: int, system: dict[str, str], on_xid: OnXid) -> None:
        self.index = index
        self.info: dict[str, str] = {}
        self._system = system
        self._on_xid = on_xid
        self._handle: Handle = None
        self._readers = Readers((), ())
        self._processes = Processes()
        self._unsupported: dict[Reader, float] = {}  # time.monotonic() at which each may be asked again
        self._rejected: Counter[str] = Counter()
        self._corrupted = False  # the InfoROM
        self._watch: XidWatcher | None = None

    def read(self, _deadline: float) -> Reading:
        """Read every value; raises GpuError if the GPU is lost, or if nothing could be read."""
        self._corrupted = False
        try:
            if self._handle is None:
                self.info, self._handle = self._identify()
                self._readers = readers_for(driver(self._system["driver_version"]))
                self._unsupported.clear()
            values, failure = self._read_all((self._processes, mps_processes, *self._readers.live))
            if failure is not None and not values:
                raise failure
            values += self._read_all(self._readers.cached)[0]
            if self._corrupted:
                values.append((metrics.GPU_INFOROM_CORRUPTED, {}, 1))
        except pynvml.NVMLError as error:
            self._handle = None  # requested again next time: the GPU may return with another handle
            raise GpuError(error.value) from None
        return Reading(self.info, self._possible(values), self._processes.found, dict(self._rejected))

    def _identify(self) -> tuple[dict[str, str], Handle]:
        handle = pynvml.nvmlDeviceGetHandleByIndex(self.index)
        info = {
            "uuid": text(pynvml.nvmlDeviceGetUUID(handle)),
            "index": str(self.index),
            "name": optional_text(lambda: pynvml.nvmlDeviceGetName(handle)),
            "pci_bus_id": optional_text(lambda: pynvml.nvmlDeviceGetPciInfo(handle).busId),
            "vendor": "nvidia",
        }
        if self._watch is None or not self._watch.follows(handle):
            self._watch = XidWatcher(handle, info["uuid"], self._on_xid)
            threading.Thread(target=self._watch.run, name=f"events of GPU {self.index}", daemon=True).start()
        return info | self._system, handle

    def _read_all(self, readers: Iterable[Reader]) -> tuple[list[Value], pynvml.NVMLError | None]:
        """Return every available value, and the last error other than those for unavailable fields.

        UNKNOWN (999), TIMEOUT and similar may be a transient failure of one field; a GPU is down if every field fails. Raises
        codes that mean a lost GPU.
        """
        values: list[Value] = []
        failure = None
        now = time.monotonic()
        for read in readers:
            if self._unsupported and now < self._unsupported.get(read, 0.0):
                continue
            before = len(values)
            try:
                values.extend(read(self._handle))  # values before an error count
            except pynvml.NVMLError as error:
                if error.value in GPU_FAILED | LIBRARY_UNUSABLE:
                    raise
                self._corrupted |= error.value == CORRUPTED_INFOROM
                if error.value not in ABSENT:
                    failure = error
                elif error.value in UNSUPPORTED and len(values) == before:
                    self._unsupported[read] = now + ASK_AGAIN_SECONDS
        return values, failure

    def _possible(self, values: list[Value]) -> list[Value]:
        """Return the values within their bounds, and count the others: they are unknown."""
        possible = []
        for value in values:
            low, high = bounds[value[0].name]
            if low <= value[2] <= high:
                possible.append(value)
            else:
                self._rejected[value[0].name] += 1
        return possible

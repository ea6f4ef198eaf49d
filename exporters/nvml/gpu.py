"""One GPU read through NVML: its identity and its values in base units."""

import threading
from collections.abc import Iterable
from typing import NamedTuple

import pynvml

import plimsoll.exporters.nvml.readers  # noqa: F401 - registers every GPU reader
from plimsoll.exporters.nvml.abi import Handle, driver, optional_text, text
from plimsoll.exporters.nvml.errors import ABSENT, GPU_FAILED, LIBRARY_UNUSABLE, describe
from plimsoll.exporters.nvml.events import OnXid, XidWatcher
from plimsoll.exporters.nvml.processes import Processes
from plimsoll.exporters.nvml.registry import Reader, Readers, Value, readers_for


class GpuError(Exception):
    """The GPU doesn't respond; `code` is NVML's."""

    def __init__(self, code: int) -> None:
        super().__init__(describe(code))
        self.code = code


class Reading(NamedTuple):
    """A GPU's state: the labels of its gpu_info, its values without the label uuid, and its processes (see Processes)."""

    info: dict[str, str]
    values: list[Value]
    processes: list[tuple[int, int | None]] | None


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
        self._watch: XidWatcher | None = None

    def read(self, _deadline: float) -> Reading:
        """Read every value; raises GpuError if the GPU is lost, or if nothing could be read."""
        try:
            if self._handle is None:
                self.info, self._handle = self._identify()
                self._readers = readers_for(driver(self._system["driver_version"]))
            values, failure = _read_all((self._processes, *self._readers.live), self._handle)
            if failure is not None and not values:
                raise failure
            values += _read_all(self._readers.cached, self._handle)[0]
        except pynvml.NVMLError as error:
            self._handle = None  # requested again next time: the GPU may return with another handle
            raise GpuError(error.value) from None
        return Reading(self.info, values, self._processes.found)

    def _identify(self) -> tuple[dict[str, str], Handle]:
        handle = pynvml.nvmlDeviceGetHandleByIndex(self.index)
        info = {
            "uuid": text(pynvml.nvmlDeviceGetUUID(handle)),
            "index": str(self.index),
            "name": optional_text(lambda: pynvml.nvmlDeviceGetName(handle)),
            "pci_bus_id": optional_text(lambda: pynvml.nvmlDeviceGetPciInfo(handle).busId),
        }
        if self._watch is None or not self._watch.follows(handle):
            self._watch = XidWatcher(handle, info["uuid"], self._on_xid)
            threading.Thread(target=self._watch.run, name=f"events of GPU {self.index}", daemon=True).start()
        return info | self._system, handle


def _read_all(readers: Iterable[Reader], handle: Handle) -> tuple[list[Value], pynvml.NVMLError | None]:
    """Return every available value, and the last error other than those for unavailable fields.

    UNKNOWN (999), TIMEOUT and similar may be a transient failure of one field; a GPU is down if every field fails. Raises codes
    that mean a lost GPU.
    """
    values: list[Value] = []
    failure = None
    for read in readers:
        try:
            values.extend(read(handle))  # values before an error count
        except pynvml.NVMLError as error:
            if error.value in GPU_FAILED | LIBRARY_UNUSABLE:
                raise
            if error.value not in ABSENT:
                failure = error
    return values, failure

"""One GPU read through NVML: what it is, and its numbers in base units."""

import threading
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pynvml

from plimsoll.exporters.nvml.abi import Handle, driver
from plimsoll.exporters.nvml.board import Board, Fans, compute_mode, gsp, optional_text, repair, unrepairable
from plimsoll.exporters.nvml.errors import ABSENT, GENERATION_DEAD, GPU_BAD, describe
from plimsoll.exporters.nvml.events import Tell, Watch
from plimsoll.exporters.nvml.fields import Fields
from plimsoll.exporters.nvml.gpm import Gpm
from plimsoll.exporters.nvml.health import clock_limits, ecc, fabric, margin, remap_banks, sram, thresholds
from plimsoll.exporters.nvml.mig import Mig
from plimsoll.exporters.nvml.nvlink import NvLinks
from plimsoll.exporters.nvml.processes import Processes, text
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric

Value = tuple[Metric, dict[str, str], float]
Values = Iterable[Value]
Reader = Callable[[Handle], Values]
_CLOCKS = {
    "graphics": pynvml.NVML_CLOCK_GRAPHICS,
    "sm": pynvml.NVML_CLOCK_SM,
    "memory": pynvml.NVML_CLOCK_MEM,
    "video": pynvml.NVML_CLOCK_VIDEO,
}


class GpuError(Exception):
    """The GPU does not answer; `code` is NVML's."""

    def __init__(self, code: int) -> None:
        super().__init__(describe(code))
        self.code = code


class Reading(NamedTuple):
    """A GPU's answer: the labels of its gpu_info, its values without the label uuid, and who runs there (see Processes)."""

    info: dict[str, str]
    values: list[Value]
    processes: list[tuple[int, int | None]] | None


class Gpu:
    """The GPU at one index of the initialised library. Not thread-safe: one call at a time."""

    def __init__(self, index: int, system: dict[str, str], tell: Tell) -> None:
        self.index = index
        self.info: dict[str, str] = {}
        self._system = system
        self._tell = tell
        self._handle: Handle = None
        self._readers: tuple[Reader, ...] = ()
        self._remembering: tuple[
            Reader, ...
        ] = ()  # they may answer without the driver, so their answer is no sign of life
        self._processes = Processes()
        self._watch: Watch | None = None

    def read(self, _deadline: float) -> Reading:
        """Read every field; raises GpuError if the GPU is lost, or if nothing at all could be read."""
        try:
            if self._handle is None:
                self.info, self._handle = self._identify()
                version = driver(self._system["driver_version"])
                self._readers = (*_SIMPLE, self._processes, Mig(), Fans(), Fields(version), NvLinks())
                self._remembering = (Board(), Gpm(version))
            values, trouble = _read_all(self._readers, self._handle)
            if trouble is not None and not values:
                raise trouble
            values += _read_all(self._remembering, self._handle)[0]
        except pynvml.NVMLError as error:
            self._handle = None  # asked for again next time: the GPU may come back under another handle
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
            self._watch = Watch(handle, info["uuid"], self._tell)
            threading.Thread(target=self._watch.run, name=f"events of GPU {self.index}", daemon=True).start()
        return info | self._system, handle


def _read_all(readers: Iterable[Reader], handle: Handle) -> tuple[list[Value], pynvml.NVMLError | None]:
    """Every field that answers, and the last trouble: a code other than 'not here', which leaves a field out too.

    UNKNOWN (999), TIMEOUT and the like may be one field's passing trouble; a GPU whose every field fails is not up. Raises what
    tells of a lost GPU.
    """
    values: list[Value] = []
    trouble = None
    for read in readers:
        try:
            values.extend(read(handle))  # what came before an error stays
        except pynvml.NVMLError as error:
            if error.value in GPU_BAD | GENERATION_DEAD:
                raise
            if error.value not in ABSENT:
                trouble = error
    return values, trouble


def _memory(handle: Handle) -> Values:
    """Memory by the second version of the call, which tells the driver's share apart.

    The first version counts that share as used, so an old driver gives total and free only: used has no honest value.
    """
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
    except pynvml.NVMLError as error:
        if error.value not in ABSENT:
            raise
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    else:
        yield metrics.GPU_MEMORY_USED, {}, memory.used
        yield metrics.GPU_MEMORY_RESERVED, {}, memory.reserved
    yield metrics.GPU_MEMORY_TOTAL, {}, memory.total
    yield metrics.GPU_MEMORY_FREE, {}, memory.free


def _busy(handle: Handle) -> Values:
    rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
    yield metrics.GPU_BUSY, {}, rates.gpu / 100
    yield metrics.GPU_MEMORY_BUSY, {}, rates.memory / 100


def _temperature(handle: Handle) -> Values:
    degrees = pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
    yield metrics.GPU_TEMPERATURE, {}, degrees


def _bar1(handle: Handle) -> Values:
    yield metrics.GPU_BAR1_USED, {}, pynvml.nvmlDeviceGetBAR1MemoryInfo(handle).bar1Used


def _number(metric: Metric, call: Callable[[Handle], int], divisor: int = 1) -> Reader:
    def number(handle: Handle) -> Values:
        yield metric, {}, call(handle) / divisor

    return number


def _clock(metric: Metric, domain: str, call: Callable[[Handle, int], int]) -> Reader:
    def clock(handle: Handle) -> Values:
        yield metric, {"domain": domain}, call(handle, _CLOCKS[domain]) * 1_000_000

    return clock


# One reader per driver call that can fail by itself; milliwatts, millijoules, percent and MHz become base units here.
_SIMPLE: tuple[Reader, ...] = (
    _memory,
    _busy,
    _temperature,
    _bar1,
    _number(metrics.GPU_POWER, pynvml.nvmlDeviceGetPowerUsage, 1000),
    _number(metrics.GPU_POWER_LIMIT, pynvml.nvmlDeviceGetEnforcedPowerLimit, 1000),
    _number(metrics.GPU_ENERGY, pynvml.nvmlDeviceGetTotalEnergyConsumption, 1000),
    _number(metrics.GPU_PERFORMANCE_STATE, pynvml.nvmlDeviceGetPerformanceState),
    _number(metrics.GPU_PERSISTENCE, pynvml.nvmlDeviceGetPersistenceMode),
    _number(metrics.GPU_PCIE_GENERATION, pynvml.nvmlDeviceGetCurrPcieLinkGeneration),
    _number(metrics.GPU_PCIE_GENERATION_MAX, pynvml.nvmlDeviceGetMaxPcieLinkGeneration),
    _number(metrics.GPU_PCIE_WIDTH, pynvml.nvmlDeviceGetCurrPcieLinkWidth),
    _number(metrics.GPU_PCIE_WIDTH_MAX, pynvml.nvmlDeviceGetMaxPcieLinkWidth),
    *(_clock(metrics.GPU_CLOCK, domain, pynvml.nvmlDeviceGetClockInfo) for domain in _CLOCKS),
    *(_clock(metrics.GPU_CLOCK_MAX, domain, pynvml.nvmlDeviceGetMaxClockInfo) for domain in _CLOCKS),
    *(clock_limits, ecc, sram, remap_banks, margin, thresholds, fabric, compute_mode, gsp, repair, unrepairable),
)

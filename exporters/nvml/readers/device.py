"""A GPU's memory, utilization, power, clocks and PCIe link, in base units."""

import re
from collections.abc import Callable
from contextlib import suppress

import pynvml

from plimsoll.exporters.nvml.abi import Handle
from plimsoll.exporters.nvml.errors import ABSENT
from plimsoll.exporters.nvml.registry import Reader, Values, reader
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric

_CLOCKS = {
    "graphics": pynvml.NVML_CLOCK_GRAPHICS,
    "sm": pynvml.NVML_CLOCK_SM,
    "memory": pynvml.NVML_CLOCK_MEM,
    "video": pynvml.NVML_CLOCK_VIDEO,
}
MEMINFO = "/proc/meminfo"
_MEMINFO = re.compile(r"^(MemTotal|MemAvailable):\s+(\d+) kB$", re.MULTILINE)


@reader
def memory(handle: Handle) -> Values:
    """Yield the device memory, by the second version of the call, which reports the driver's part separately.

    The first version counts that part as used, so for an old driver only total and free are exported. A GPU without memory of
    its own (GB10, Jetson) supports neither or reports zeros: its memory is the system's.
    """
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
    except pynvml.NVMLError as error:
        if error.value not in ABSENT:
            raise
        try:
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        except pynvml.NVMLError as also:
            if also.value != pynvml.NVML_ERROR_NOT_SUPPORTED:
                raise
            yield from _system_memory()
            return
    else:
        if memory.total:
            yield metrics.GPU_MEMORY_USED, {}, memory.used
            yield metrics.GPU_MEMORY_RESERVED, {}, memory.reserved
    if memory.total:
        yield metrics.GPU_MEMORY_TOTAL, {}, memory.total
        yield metrics.GPU_MEMORY_FREE, {}, memory.free
    else:
        yield from _system_memory()


def _system_memory() -> Values:
    with suppress(OSError):
        with open(MEMINFO, encoding="ascii") as file:  # noqa: PTH123 - nothing else here needs pathlib
            found = dict(_MEMINFO.findall(file.read()))
        total, free = (int(found[name]) * 1024 for name in ("MemTotal", "MemAvailable"))
        yield metrics.GPU_MEMORY_UNIFIED, {}, 1
        yield metrics.GPU_MEMORY_TOTAL, {}, total
        yield metrics.GPU_MEMORY_FREE, {}, free
        yield metrics.GPU_MEMORY_USED, {}, total - free


@reader
def busy(handle: Handle) -> Values:
    """Yield the fractions of time in which a kernel ran, and in which memory was read or written."""
    rates = pynvml.nvmlDeviceGetUtilizationRates(handle)
    yield metrics.GPU_BUSY, {}, rates.gpu / 100
    yield metrics.GPU_MEMORY_BUSY, {}, rates.memory / 100


@reader
def temperature(handle: Handle) -> Values:
    """Yield the core temperature."""
    degrees = pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU)
    yield metrics.GPU_TEMPERATURE, {}, degrees


@reader
def bar1(handle: Handle) -> Values:
    """Yield the BAR1 memory in use."""
    yield metrics.GPU_BAR1_USED, {}, pynvml.nvmlDeviceGetBAR1MemoryInfo(handle).bar1Used


def _number(metric: Metric, call: Callable[[Handle], int], divisor: int = 1) -> Reader:
    def number(handle: Handle) -> Values:
        yield metric, {}, call(handle) / divisor

    return number


def _clock(metric: Metric, domain: str, call: Callable[[Handle, int], int]) -> Reader:
    def clock(handle: Handle) -> Values:
        yield metric, {"domain": domain}, call(handle, _CLOCKS[domain]) * 1_000_000

    return clock


# NVML's milliwatts, millijoules and MHz become watts, joules and hertz.
for _metric, _call, _divisor in (
    (metrics.GPU_POWER, pynvml.nvmlDeviceGetPowerUsage, 1000),
    (metrics.GPU_POWER_LIMIT, pynvml.nvmlDeviceGetEnforcedPowerLimit, 1000),
    (metrics.GPU_ENERGY, pynvml.nvmlDeviceGetTotalEnergyConsumption, 1000),
    (metrics.GPU_PERFORMANCE_STATE, pynvml.nvmlDeviceGetPerformanceState, 1),
    (metrics.GPU_PERSISTENCE, pynvml.nvmlDeviceGetPersistenceMode, 1),
    (metrics.GPU_PCIE_GENERATION, pynvml.nvmlDeviceGetCurrPcieLinkGeneration, 1),
    (metrics.GPU_PCIE_GENERATION_MAX, pynvml.nvmlDeviceGetMaxPcieLinkGeneration, 1),
    (metrics.GPU_PCIE_WIDTH, pynvml.nvmlDeviceGetCurrPcieLinkWidth, 1),
    (metrics.GPU_PCIE_WIDTH_MAX, pynvml.nvmlDeviceGetMaxPcieLinkWidth, 1),
):
    reader(_number(_metric, _call, _divisor))
for _domain in _CLOCKS:
    reader(_clock(metrics.GPU_CLOCK, _domain, pynvml.nvmlDeviceGetClockInfo))
    reader(_clock(metrics.GPU_CLOCK_MAX, _domain, pynvml.nvmlDeviceGetMaxClockInfo))

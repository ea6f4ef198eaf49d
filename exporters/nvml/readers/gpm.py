"""GPU activity by NVIDIA's GPM: differences of two samples of hardware counters (Hopper and later)."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pynvml

from plimsoll.exporters.nvml.abi import Driver, Handle
from plimsoll.exporters.nvml.registry import Value, cached_reader_per_gpu
from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric

# NVML_GPM_METRIC_..., each in percent
RATIOS = {
    1: metrics.GPU_GRAPHICS_ACTIVE,
    2: metrics.GPU_SM_ACTIVE,
    3: metrics.GPU_SM_OCCUPANCY,
    5: metrics.GPU_TENSOR_ACTIVE,
    10: metrics.GPU_DRAM_BANDWIDTH,
}
# Cycles since the node started (from driver 595 on, by nvidia-ml-py 13.595)
CYCLES = {
    248: metrics.GPU_SM_CYCLES,
    249: metrics.GPU_SM_ACTIVE_CYCLES,
    250: metrics.GPU_TENSOR_ACTIVE_CYCLES,
}
CYCLES_SINCE = 595
# Limits of a window in seconds: shorter ones are noise (nvml.h requires 100 ms), longer ones are out of date.
MIN_WINDOW, MAX_WINDOW = 1.0, 600.0


class Window:
    """The interval between two samples of one GPU or MIG instance; no values before the second. Times in seconds."""

    def __init__(self, asked: Mapping[int, Metric]) -> None:
        self._asked = asked
        # The older sample, and space for the newer one
        self._samples: list[Any] = [pynvml.nvmlGpmSampleAlloc() for _ in range(2)]
        self._taken = 0.0
        self._values: list[Value] = []

    def read(self, take: Callable[[Any], object]) -> list[Value]:
        """Call `take` to fill a sample if the last one is old enough; return the last window's values. Raises NVMLError."""
        if not self._taken or time.monotonic() - self._taken >= MIN_WINDOW:
            older, newer = self._samples
            take(newer)
            now = time.monotonic()
            fresh = self._taken and now - self._taken <= MAX_WINDOW
            self._samples, self._taken = [newer, older], now
            self._values = _between(older, newer, self._asked) if fresh else []
        return self._values

    def close(self) -> None:
        """Free the samples."""
        for sample in self._samples:
            pynvml.nvmlGpmSampleFree(sample)


@cached_reader_per_gpu
class Gpm:
    """One GPU's activity since the previous scrape; absent at the first scrape."""

    def __init__(self, driver: Driver) -> None:
        self._asked = {**RATIOS, **(CYCLES if driver.major >= CYCLES_SINCE else {})}
        self._supported: bool | None = None
        self._window: Window | None = None

    def __call__(self, handle: Handle) -> list[Value]:
        """Return the values of the last window; raises NVMLError."""
        if self._supported is None:
            self._supported = bool(pynvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice)
        if not self._supported:
            return []
        self._window = self._window or Window(self._asked)
        return self._window.read(lambda sample: pynvml.nvmlGpmSampleGet(handle, sample))


def _between(older: Any, newer: Any, asked: Mapping[int, Metric]) -> list[Value]:
    request = pynvml.c_nvmlGpmMetricsGet_t()
    request.version, request.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(asked)
    request.sample1, request.sample2 = older, newer
    for place, number in enumerate(asked):
        request.metrics[place].metricId = number
    pynvml.nvmlGpmMetricsGet(request)
    results = zip(asked.items(), request.metrics, strict=False)
    return [
        (metric, {}, result.value / 100 if number in RATIOS else result.value)
        for (number, metric), result in results
        if result.nvmlReturn == 0
    ]

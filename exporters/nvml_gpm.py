"""How much of a GPU works: NVIDIA's GPM, which needs two samples of the hardware's counters (Hopper and later)."""

import time
from collections.abc import Iterator
from typing import Any

import pynvml

from exporters.nvml_abi import Handle
from slo import catalogue
from slo.catalogue import Metric

# NVML_GPM_METRIC_..., each in percent
RATIOS = {
    1: catalogue.GPU_GRAPHICS_ACTIVE,
    2: catalogue.GPU_SM_ACTIVE,
    3: catalogue.GPU_SM_OCCUPANCY,
    5: catalogue.GPU_TENSOR_ACTIVE,
    10: catalogue.GPU_DRAM_BANDWIDTH,
}
# A window shorter than this is noise (nvml.h asks for 100 ms at least), a longer one than that is no longer now.
SHORTEST, LONGEST = 1.0, 600.0
Values = list[tuple[Metric, dict[str, str], float]]


class Gpm:
    """One GPU's ratios over the time since the scrape before; absent at the first scrape. Times in seconds."""

    def __init__(self, shortest: float = SHORTEST) -> None:
        self._shortest = shortest
        self._supported: bool | None = None
        self._samples: list[Any] = []  # the older one, and room for a newer one
        self._taken = 0.0
        self._values: Values = []

    def __call__(self, handle: Handle) -> Iterator[tuple[Metric, dict[str, str], float]]:
        """Ratios of the last window; raises NVMLError."""
        if self._supported is None:
            self._supported = bool(pynvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice)
            self._samples = [pynvml.nvmlGpmSampleAlloc() for _ in range(2)] if self._supported else []
        if self._supported and (not self._taken or time.monotonic() - self._taken >= self._shortest):
            self._sample(handle)
        yield from self._values

    def _sample(self, handle: Handle) -> None:
        older, newer = self._samples
        pynvml.nvmlGpmSampleGet(handle, newer)
        now = time.monotonic()
        fresh = self._taken and now - self._taken <= LONGEST
        self._samples, self._taken = [newer, older], now
        self._values = _between(older, newer) if fresh else []


def _between(older: Any, newer: Any) -> Values:
    question = pynvml.c_nvmlGpmMetricsGet_t()
    question.version, question.numMetrics = pynvml.NVML_GPM_METRICS_GET_VERSION, len(RATIOS)
    question.sample1, question.sample2 = older, newer
    for place, number in enumerate(RATIOS):
        question.metrics[place].metricId = number
    pynvml.nvmlGpmMetricsGet(question)
    answers = zip(RATIOS.values(), question.metrics, strict=False)
    return [(metric, {}, answer.value / 100) for metric, answer in answers if answer.nvmlReturn == 0]

"""Mean kernel time between two scrapes, from the samples that the driver keeps. A100 and L40S have no GPM."""

import pynvml

from plimsoll.exporters.nvml.abi import Driver, Handle
from plimsoll.exporters.nvml.registry import Value, cached_reader_per_gpu
from plimsoll.slo import metrics as c

_KINDS = {
    pynvml.NVML_GPU_UTILIZATION_SAMPLES: c.GPU_BUSY_MEAN,
    pynvml.NVML_MEMORY_UTILIZATION_SAMPLES: c.GPU_MEMORY_BUSY_MEAN,
}


@cached_reader_per_gpu
class Samples:
    """One GPU's samples. The driver keeps those of a few seconds, so after a longer pause the mean is that of the end."""

    def __init__(self, _driver: Driver) -> None:
        self._seen = dict.fromkeys(_KINDS, 0)

    def __call__(self, handle: Handle) -> list[Value]:
        """Return the mean of the samples since the last call; nothing where there is none. Raises NVMLError."""
        found: list[Value] = []
        for kind, metric in _KINDS.items():
            _, samples = pynvml.nvmlDeviceGetSamples(handle, kind, self._seen[kind])
            new = [one for one in samples if one.timeStamp > self._seen[kind]]
            if new:
                self._seen[kind] = max(one.timeStamp for one in new)
                found.append((metric, {}, sum(one.sampleValue.uiVal for one in new) / len(new) / 100))
        return found

"""MIG instances of a GPU, each with its own memory and compute."""

from collections.abc import Iterator

import pynvml

from plimsoll.exporters.nvml.abi import Driver, Handle, text
from plimsoll.exporters.nvml.errors import GPU_FAILED, LIBRARY_UNUSABLE
from plimsoll.exporters.nvml.readers.gpm import Window
from plimsoll.exporters.nvml.registry import Values, reader_per_gpu
from plimsoll.slo import metrics as c

# NVML_GPM_METRIC_..., each in percent of the instance
RATIOS = {
    1: c.GPU_MIG_GRAPHICS_ACTIVE,
    2: c.GPU_MIG_SM_ACTIVE,
    3: c.GPU_MIG_SM_OCCUPANCY,
    5: c.GPU_MIG_TENSOR_ACTIVE,
    10: c.GPU_MIG_DRAM_BANDWIDTH,
}


@reader_per_gpu
class Mig:
    """Reads the instances of one GPU. Windows are stored by UUID, because instance numbers are reused."""

    def __init__(self, _driver: Driver) -> None:
        self._windows: dict[str, Window] = {}

    def __call__(self, handle: Handle) -> Values:
        """Yield whether MIG is enabled, and the instances."""
        current, pending = pynvml.nvmlDeviceGetMigMode(handle)
        enabled = current == pynvml.NVML_DEVICE_MIG_ENABLE
        yield c.GPU_MIG_ENABLED, {}, int(enabled)
        yield c.GPU_MIG_PENDING, {}, int(pending == pynvml.NVML_DEVICE_MIG_ENABLE)
        seen = set()
        for instance in _instances(handle) if enabled else ():
            uuid, number = text(pynvml.nvmlDeviceGetUUID(instance)), pynvml.nvmlDeviceGetGpuInstanceId(instance)
            seen.add(uuid)
            own = {"mig_uuid": uuid}
            name = text(pynvml.nvmlDeviceGetName(instance))
            yield c.GPU_MIG_INFO, {**own, "gpu_instance": str(number), "name": name}, 1
            yield from _available(_memory(instance, own))
            yield from _available(self._ratios(handle, number, own))
        for uuid in self._windows.keys() - seen:
            self._windows.pop(uuid).close()

    def _ratios(self, handle: Handle, number: int, own: dict[str, str]) -> Values:
        if not pynvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice:
            return
        if own["mig_uuid"] not in self._windows:
            self._windows[own["mig_uuid"]] = Window(RATIOS)
        window = self._windows[own["mig_uuid"]]
        for metric, _, value in window.read(lambda sample: pynvml.nvmlGpmMigSampleGet(handle, number, sample)):
            yield metric, own, value


def _instances(handle: Handle) -> Iterator[Handle]:
    """Yield the instances. Indexes without one return NOT_FOUND."""
    for place in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except pynvml.NVMLError as error:
            if error.value != pynvml.NVML_ERROR_NOT_FOUND:
                raise


def _memory(instance: Handle, own: dict[str, str]) -> Values:
    """Yield an instance's memory. Compute instances of one GPU instance share it, and each reports all of it."""
    memory = pynvml.nvmlDeviceGetMemoryInfo(instance, pynvml.nvmlMemory_v2)
    yield c.GPU_MIG_MEMORY_TOTAL, own, memory.total
    yield c.GPU_MIG_MEMORY_USED, own, memory.used


def _available(values: Values) -> Values:
    """Yield the values up to an error, which must not affect other instances."""
    try:
        yield from values
    except pynvml.NVMLError as error:
        if error.value in GPU_FAILED | LIBRARY_UNUSABLE:
            raise

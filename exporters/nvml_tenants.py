"""Who uses a GPU: MIG instances and compute processes."""

from collections.abc import Iterator

import pynvml

from exporters.nvml_abi import Handle
from exporters.nvml_errors import ABSENT
from slo import catalogue as c
from slo.catalogue import Metric

Values = Iterator[tuple[Metric, dict[str, str], float]]


def mig(handle: Handle) -> Values:
    """Whether the GPU is split, and into what; places without an instance are NOT_FOUND."""
    enabled = pynvml.nvmlDeviceGetMigMode(handle)[0] == pynvml.NVML_DEVICE_MIG_ENABLE
    yield c.GPU_MIG_ENABLED, {}, int(enabled)
    for place in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle) if enabled else 0):
        try:
            instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except pynvml.NVMLError as error:
            if error.value != pynvml.NVML_ERROR_NOT_FOUND:
                raise
            continue
        own = {"mig_uuid": text(pynvml.nvmlDeviceGetUUID(instance))}
        number = str(pynvml.nvmlDeviceGetGpuInstanceId(instance))
        yield c.GPU_MIG_INFO, {**own, "gpu_instance": number, "name": text(pynvml.nvmlDeviceGetName(instance))}, 1
        yield from _memory(instance, own)


def _memory(instance: Handle, own: dict[str, str]) -> Values:
    """Memory of a MIG instance; what shares a GPU instance shares its memory, and each is told the whole."""
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(instance, pynvml.nvmlMemory_v2)
    except pynvml.NVMLError as error:
        if error.value not in ABSENT:
            raise
        return
    yield c.GPU_MIG_MEMORY_TOTAL, own, memory.total
    yield c.GPU_MIG_MEMORY_USED, own, memory.used


class Processes:
    """How many processes compute, and their memory; in a container without the host's pids the driver may hide some.

    `found` keeps them one by one, as (pid, bytes or None), for the join with the engines; None where the GPU does not tell.
    """

    def __init__(self) -> None:
        self.found: list[tuple[int, int | None]] | None = None

    def __call__(self, handle: Handle) -> Values:
        """Read them."""
        self.found = None
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        self.found = [(process.pid, process.usedGpuMemory) for process in running]
        yield c.GPU_PROCESSES, {}, len(running)
        sizes = [process.usedGpuMemory for process in running]
        if None not in sizes:
            yield c.GPU_PROCESS_MEMORY, {}, sum(sizes)


def text(value: object) -> str:
    """What NVML answered as text: bytes or str, by the binding's version."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

"""Compute processes of a GPU. Not in `readers/`, because the assignment of GPUs to engines needs them too."""

import ctypes
from typing import NamedTuple

import pynvml

from plimsoll.exporters.nvml.abi import Handle, function
from plimsoll.exporters.nvml.errors import GPU_FAILED, LIBRARY_UNUSABLE
from plimsoll.exporters.nvml.registry import Values
from plimsoll.slo import metrics as c

_NO_INSTANCE = 0xFFFFFFFF


class FoundProcess(NamedTuple):
    """A compute process: memory in bytes (None: not reported), MIG's GPU instance, and SM time in percent (None: unknown)."""

    pid: int
    memory: int | None
    instance: int | None
    sm: float | None


class Processes:
    """Reads the number of compute processes and their memory; in a container the driver may hide some.

    `found` lists them for the assignment to engines; None if the GPU doesn't report them.
    """

    def __init__(self) -> None:
        self.found: list[FoundProcess] | None = None
        self._since = 0  # the driver's time of the last sample

    def __call__(self, handle: Handle) -> Values:
        """Yield the number of processes, and their memory if known for all."""
        self.found = None
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        shared = self._sm(handle) if len(running) > 1 else {}
        self.found = [
            FoundProcess(
                process.pid,
                process.usedGpuMemory,
                instance if (instance := getattr(process, "gpuInstanceId", _NO_INSTANCE)) != _NO_INSTANCE else None,
                shared.get(process.pid),
            )
            for process in running
        ]
        yield c.GPU_PROCESSES, {}, len(running)
        sizes = [process.usedGpuMemory for process in running]
        if None not in sizes:
            yield c.GPU_PROCESS_MEMORY, {}, sum(sizes)

    def _sm(self, handle: Handle) -> dict[int, float]:
        """Return the SM time by process since the last call, in percent. Empty where the driver doesn't sample it.

        Not through the binding, which raises an error for an idle GPU's empty answer.
        """
        count = ctypes.c_uint(0)
        try:
            read = function("nvmlDeviceGetProcessUtilization")
            read(handle, None, ctypes.byref(count), ctypes.c_ulonglong(self._since))
            samples = (pynvml.c_nvmlProcessUtilizationSample_t * count.value)()
            code = read(handle, samples, ctypes.byref(count), ctypes.c_ulonglong(self._since)) if count.value else 0
        except pynvml.NVMLError:  # this driver lacks the function
            return {}
        if code in GPU_FAILED | LIBRARY_UNUSABLE:
            raise pynvml.NVMLError(code)
        if code:
            return {}
        found: dict[int, list[int]] = {}
        for sample in samples[: count.value]:
            self._since = max(self._since, sample.timeStamp)
            found.setdefault(sample.pid, []).append(sample.smUtil)
        return {pid: sum(values) / len(values) for pid, values in found.items()}


def mps_processes(handle: Handle) -> Values:
    """Yield the number of processes that share the GPU through MPS."""
    yield c.GPU_MPS_PROCESSES, {}, len(pynvml.nvmlDeviceGetMPSComputeRunningProcesses(handle))

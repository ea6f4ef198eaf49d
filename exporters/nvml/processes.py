"""Compute processes of a GPU. Not in `readers/`, because the assignment of GPUs to engines needs them too."""

import pynvml

from plimsoll.exporters.nvml.abi import Handle
from plimsoll.exporters.nvml.registry import Values
from plimsoll.slo import metrics as c


class Processes:
    """Reads the number of compute processes and their memory; in a container the driver may hide some.

    `found` lists them as (pid, bytes or None) for the assignment to engines; None if the GPU doesn't report them.
    """

    def __init__(self) -> None:
        self.found: list[tuple[int, int | None]] | None = None

    def __call__(self, handle: Handle) -> Values:
        """Yield the number of processes, and their memory if known for all."""
        self.found = None
        running = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
        self.found = [(process.pid, process.usedGpuMemory) for process in running]
        yield c.GPU_PROCESSES, {}, len(running)
        sizes = [process.usedGpuMemory for process in running]
        if None not in sizes:
            yield c.GPU_PROCESS_MEMORY, {}, sum(sizes)

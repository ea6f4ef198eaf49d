"""Who uses a GPU: compute processes."""

import pynvml

from plimsoll.exporters.nvml.abi import Handle
from plimsoll.exporters.nvml.registry import Values
from plimsoll.slo import metrics as c


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

"""Who computes on a GPU, and what its memory is held for."""

from plimsoll.slo.metrics.gpu import UUID
from plimsoll.slo.metrics.metric import Metric

GPU_PROCESSES = Metric(
    "gpu_processes", "gauge", UUID, "Compute processes on the GPU (nvmlDeviceGetComputeRunningProcesses)."
)
GPU_PROCESSES_UNASSIGNED = Metric(
    "gpu_processes_unassigned",
    "gauge",
    UUID,
    "Compute processes of which no engine is known: another program's, or of an engine that cannot be seen from here.",
)
GPU_ASSIGNMENT = Metric(
    "gpu_assignment_info",
    "gauge",
    ("uuid", "replica", "model"),
    "Which replica computes on the GPU, always 1; while the GPU does not answer, as it was last seen.",
)
GPU_MEMORY_HELD = Metric(
    "gpu_memory_usage_bytes",
    "gauge",
    ("uuid", "component", "replica"),
    "Device memory by holder: weights (with activations) and kv_cache (reserved) of a replica, engine (both, where the engine "
    "does not tell them apart), other (processes of no known replica), unseen (used, by nobody who is seen), driver.",
)
GPU_PROCESS_MEMORY = Metric(
    "gpu_process_memory_bytes",
    "gauge",
    UUID,
    "Device memory of all compute processes together; absent if one is unknown.",
)

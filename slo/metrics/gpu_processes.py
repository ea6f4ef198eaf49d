"""GPU metrics of compute processes and memory usage by component."""

from plimsoll.slo.metrics.gpu import UUID
from plimsoll.slo.metrics.metric import Metric

GPU_PROCESSES = Metric(
    "gpu_processes", "gauge", UUID, "Compute processes on the GPU (nvmlDeviceGetComputeRunningProcesses)."
)
GPU_PROCESSES_UNASSIGNED = Metric(
    "gpu_processes_unassigned",
    "gauge",
    UUID,
    "Compute processes not attributed to an engine: another program's, or an engine's that isn't visible from here.",
)
GPU_ASSIGNMENT = Metric(
    "gpu_assignment_info",
    "gauge",
    ("uuid", "replica", "model"),
    "Replica that computes on the GPU, constant 1. While the GPU doesn't respond, the last known one.",
)
GPU_ASSIGNMENT_SHARE = Metric(
    "gpu_assignment_share_ratio",
    "gauge",
    ("uuid", "replica", "model"),
    "Replica's part of the GPU's work: 1 if alone, its slices under MIG, its part of the SM time under time slicing. Absent where the driver doesn't report it.",
)
GPU_MIG_ASSIGNMENT = Metric(
    "gpu_mig_assignment_info",
    "gauge",
    ("uuid", "mig_uuid", "replica", "model"),
    "Replica that computes on the MIG instance, constant 1.",
)
GPU_POD = Metric(
    "gpu_pod_info",
    "gauge",
    ("uuid", "mig_uuid", "namespace", "pod", "container"),
    "Kubernetes container that has the GPU or MIG instance, constant 1 (kubelet's pod resources, or the processes' cgroups).",
)
GPU_MPS_PROCESSES = Metric(
    "gpu_mps_processes",
    "gauge",
    UUID,
    "Compute processes that share the GPU through MPS (nvmlDeviceGetMPSComputeRunningProcesses).",
)
GPU_MEMORY_USAGE = Metric(
    "gpu_memory_usage_bytes",
    "gauge",
    ("uuid", "component", "replica"),
    "Device memory, by component: weights (with activations) and kv_cache of a replica, engine (both, where not reported separately), other (other processes), unattributed, driver.",
)
GPU_PROCESS_MEMORY = Metric(
    "gpu_process_memory_bytes",
    "gauge",
    UUID,
    "Device memory of all compute processes. Absent if that of any process is unknown.",
)

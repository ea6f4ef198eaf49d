"""GPU metrics of what the exporter can and can't read, the kernel's log, and the health verdict."""

from plimsoll.slo.metrics.gpu import UUID
from plimsoll.slo.metrics.metric import Metric

GPU_NOT_READABLE = Metric(
    "gpu_not_readable",
    "gauge",
    ("uuid", "reason"),
    "1 while the exporter can't ask about the GPU, by reason (driver_mismatch, devices_lost, paused, and others). The GPU itself may be fine; gpu_up is absent meanwhile.",
)
GPU_METRIC_MISSING = Metric(
    "gpu_metric_missing",
    "gauge",
    ("uuid", "metric"),
    "1 for each metric that this GPU had under the same driver and no longer has (nvidia-smi shows ERR!).",
)
GPU_VALUES_REJECTED = Metric(
    "gpu_values_rejected_total",
    "counter",
    ("uuid", "metric"),
    "Values outside the physically possible range. They aren't exported.",
)
GPU_INFOROM_CORRUPTED = Metric(
    "gpu_inforom_corrupted",
    "gauge",
    UUID,
    "Whether the driver reports a corrupted InfoROM (1): the GPU computes, but its record of errors isn't reliable.",
)
GPU_MEMORY_UNIFIED = Metric(
    "gpu_memory_unified",
    "gauge",
    UUID,
    "1 where the GPU has no memory of its own: the memory metrics are those of the system (/proc/meminfo).",
)
GPU_HEALTH_VERDICT = Metric(
    "gpu_health_verdict",
    "gauge",
    UUID,
    "Verdict for schedulers: 0 ok, 1 degraded, 2 replace (don't schedule until repaired). Absent while unknown.",
)
GPU_HEALTH_REASON = Metric(
    "gpu_health_reason_info", "gauge", ("uuid", "reason"), "Reasons of the verdict, as codes, constant 1."
)
NODE_HEALTH_VERDICT = Metric(
    "plimsoll_node_gpu_verdict",
    "gauge",
    (),
    "Worst verdict of the node's GPUs: 0 ok, 1 degraded, 2 replace. Absent while unknown.",
)
SXID_ERRORS = Metric(
    "nvswitch_sxid_errors_total",
    "counter",
    ("pci_bus_id", "sxid", "severity"),
    "Errors of an NVSwitch in the kernel's log, by number and severity (fatal, non_fatal).",
)
SXID_LAST = Metric(
    "nvswitch_sxid_last_timestamp_seconds",
    "gauge",
    ("pci_bus_id", "sxid", "severity"),
    "Unix time at which the kernel last logged the error.",
)

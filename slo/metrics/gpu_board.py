"""GPU metrics of the board, pending repairs, hardware counters and MIG instances."""

from plimsoll.slo.metrics.gpu import UUID
from plimsoll.slo.metrics.metric import Metric

GPU_BOARD_INFO = Metric(
    "gpu_board_info",
    "gauge",
    ("uuid", "serial", "vbios_version", "inforom_version", "gsp_version"),
    "Board identity that a return to the vendor requires, constant 1 (nvmlDeviceGetSerial and others).",
)
GPU_COMPUTE_MODE = Metric(
    "gpu_compute_mode",
    "gauge",
    UUID,
    "Compute mode: 0 any process, 2 no process, 3 one process (nvmlDeviceGetComputeMode).",
)
GPU_GSP_ENABLED = Metric(
    "gpu_gsp_enabled",
    "gauge",
    UUID,
    "Whether the GPU's system processor (GSP) runs the driver (1) (nvmlDeviceGetGspFirmwareMode).",
)
GPU_FAN_SPEED = Metric(
    "gpu_fan_speed_ratio",
    "gauge",
    ("uuid", "fan"),
    "Fan speed requested, as a fraction of the maximum (nvmlDeviceGetFanSpeed_v2).",
)
GPU_REPAIR_PENDING = Metric(
    "gpu_repair_pending",
    "gauge",
    ("uuid", "part"),
    "Whether the next reset repairs a memory channel or a TPC (1), by part (nvmlDeviceGetRepairStatus).",
)
GPU_MEMORY_UNREPAIRABLE = Metric(
    "gpu_memory_unrepairable",
    "gauge",
    UUID,
    "Whether the memory has an unrepairable fault (1): replace the GPU (nvmlDeviceGetUnrepairableMemoryFlag_v1).",
)
GPU_SRAM_ERRORS = Metric(
    "gpu_sram_errors_total",
    "counter",
    ("uuid", "error"),
    "SRAM errors since the driver was loaded, by error: corrected, parity, secded (nvmlDeviceGetSramEccErrorStatus).",
)
GPU_SRAM_LIFETIME_ERRORS = Metric(
    "gpu_sram_lifetime_errors_total",
    "counter",
    ("uuid", "unit"),
    "Uncorrected SRAM errors over the GPU's lifetime, by unit: l2, sm, pcie, microcontroller, other (nvmlDeviceGetSramEccErrorStatus).",
)
GPU_FABRIC_STATE = Metric(
    "gpu_fabric_state",
    "gauge",
    UUID,
    "NVSwitch fabric state: 1 not started, 2 in progress, 3 completed. CUDA doesn't start before 3 (nvmlDeviceGetGpuFabricInfoV).",
)
GPU_FABRIC_HEALTH = Metric(
    "gpu_fabric_health",
    "gauge",
    UUID,
    "NVSwitch fabric health: 1 healthy, 2 unhealthy, 3 limited capacity (healthSummary).",
)
GPU_FABRIC_STATUS = Metric(
    "gpu_fabric_status",
    "gauge",
    UUID,
    "NVML's result of joining the NVSwitch fabric, once completed: 0 success, otherwise an error code (nvmlDeviceGetGpuFabricInfoV status).",
)
GPU_FABRIC_FAULT = Metric(
    "gpu_fabric_fault",
    "gauge",
    ("uuid", "fault"),
    "Whether the NVSwitch fabric has the fault (1), by fault: degraded_bandwidth, route_recovery, route_unhealthy, access_timeout_recovery, incorrect_configuration (healthMask).",
)
GPU_FABRIC_INFO = Metric(
    "gpu_fabric_info",
    "gauge",
    ("uuid", "cluster", "clique"),
    "NVLink cluster and clique of the GPU, constant 1. Only GPUs of one clique reach each other by NVLink.",
)
GPU_ECC_MODE = Metric(
    "gpu_ecc_enabled",
    "gauge",
    ("uuid", "when"),
    "Whether ECC is on (1), now and after the next reset (`pending`) (nvmlDeviceGetEccMode).",
)
GPU_MIG_PENDING = Metric(
    "gpu_mig_pending", "gauge", UUID, "Whether MIG is enabled after the next reset (1) (nvmlDeviceGetMigMode)."
)
GPU_BUSY_MEAN = Metric(
    "gpu_busy_mean_ratio",
    "gauge",
    UUID,
    "Fraction of time with at least one kernel running, mean of the driver's samples since the last scrape. Where GPM isn't supported (A100, L40S), the closest to activity (nvmlDeviceGetSamples).",
)
GPU_MEMORY_BUSY_MEAN = Metric(
    "gpu_memory_busy_mean_ratio",
    "gauge",
    UUID,
    "Fraction of time with device memory being read or written, mean of the driver's samples since the last scrape (nvmlDeviceGetSamples).",
)
GPU_SM_CYCLES = Metric(
    "gpu_sm_cycles_total", "counter", UUID, "SM cycles since the node started (GPM, driver 595 and later)."
)
GPU_SM_ACTIVE_CYCLES = Metric(
    "gpu_sm_active_cycles_total",
    "counter",
    UUID,
    "SM cycles with an active warp. Their rate divided by that of all cycles is the activity.",
)
GPU_TENSOR_ACTIVE_CYCLES = Metric(
    "gpu_tensor_active_cycles_total", "counter", UUID, "SM cycles with an active tensor core."
)
GPU_MIG_MEMORY_TOTAL = Metric(
    "gpu_mig_memory_total_bytes", "gauge", ("uuid", "mig_uuid"), "Device memory of a MIG instance."
)
GPU_MIG_MEMORY_USED = Metric(
    "gpu_mig_memory_used_bytes",
    "gauge",
    ("uuid", "mig_uuid"),
    "Device memory of a MIG instance used by processes (_v2 used).",
)


def _of_instance(what: str, quantity: str) -> Metric:
    return Metric(f"gpu_mig_{what}_ratio", "gauge", ("uuid", "mig_uuid"), f"{quantity} of a MIG instance (GPM).")


GPU_MIG_GRAPHICS_ACTIVE = _of_instance("graphics_active", "Fraction of time with any engine active,")
GPU_MIG_SM_ACTIVE = _of_instance("sm_active", "Fraction of SMs active, mean since the last scrape,")
GPU_MIG_SM_OCCUPANCY = _of_instance("sm_occupancy", "Fraction of the possible warps active,")
GPU_MIG_TENSOR_ACTIVE = _of_instance("tensor_active", "Fraction of time with the tensor cores active,")
GPU_MIG_DRAM_BANDWIDTH = _of_instance("dram_bandwidth", "Fraction of the memory bandwidth used,")

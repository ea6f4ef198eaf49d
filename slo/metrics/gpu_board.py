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

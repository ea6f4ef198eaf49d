"""GPUs: the board itself, repairs that wait, and what the hardware counts about its memories and its work."""

from plimsoll.slo.metrics.gpu import UUID
from plimsoll.slo.metrics.metric import Metric

GPU_BOARD_INFO = Metric(
    "gpu_board_info",
    "gauge",
    ("uuid", "serial", "vbios_version", "inforom_version", "gsp_version"),
    "What a return to the vendor asks for, always 1 (nvmlDeviceGetSerial and others).",
)
GPU_COMPUTE_MODE = Metric(
    "gpu_compute_mode",
    "gauge",
    UUID,
    "0 any process may compute, 2 none may, 3 one at a time (nvmlDeviceGetComputeMode).",
)
GPU_GSP_ENABLED = Metric(
    "gpu_gsp_enabled", "gauge", UUID, "1 if the GPU's own processor runs the driver (nvmlDeviceGetGspFirmwareMode)."
)
GPU_FAN_SPEED = Metric(
    "gpu_fan_speed_ratio",
    "gauge",
    ("uuid", "fan"),
    "Speed that a fan is told, as share of its most (nvmlDeviceGetFanSpeed_v2).",
)
GPU_REPAIR_PENDING = Metric(
    "gpu_repair_pending",
    "gauge",
    ("uuid", "part"),
    "1 if the next reset repairs a memory channel or a TPC (nvmlDeviceGetRepairStatus).",
)
GPU_MEMORY_UNREPAIRABLE = Metric(
    "gpu_memory_unrepairable",
    "gauge",
    UUID,
    "1 if the memory has a fault that no repair mends: replace the GPU (nvmlDeviceGetUnrepairableMemoryFlag_v1).",
)
GPU_SRAM_ERRORS = Metric(
    "gpu_sram_errors_total",
    "counter",
    ("uuid", "error"),
    "SRAM errors since the driver was loaded: corrected, and uncorrected ones by parity or secded (nvmlDeviceGetSramEccErrorStatus).",
)
GPU_SRAM_LIFETIME_ERRORS = Metric(
    "gpu_sram_lifetime_errors_total",
    "counter",
    ("uuid", "unit"),
    "Uncorrected SRAM errors in the GPU's life by unit: l2, sm, pcie, microcontroller, other (nvmlDeviceGetSramEccErrorStatus).",
)
GPU_SM_CYCLES = Metric(
    "gpu_sm_cycles_total", "counter", UUID, "Cycles of the SMs since the node's start (GPM, driver 595 and later)."
)
GPU_SM_ACTIVE_CYCLES = Metric(
    "gpu_sm_active_cycles_total",
    "counter",
    UUID,
    "Of these, cycles with a warp on an SM: their rates' ratio is activity.",
)
GPU_TENSOR_ACTIVE_CYCLES = Metric(
    "gpu_tensor_active_cycles_total", "counter", UUID, "Of these, cycles with a tensor core at work."
)
GPU_MIG_MEMORY_TOTAL = Metric(
    "gpu_mig_memory_total_bytes", "gauge", ("uuid", "mig_uuid"), "Device memory of a MIG instance."
)
GPU_MIG_MEMORY_USED = Metric(
    "gpu_mig_memory_used_bytes", "gauge", ("uuid", "mig_uuid"), "Of it, in use by processes (_v2 used)."
)


def _of_instance(what: str, told: str) -> Metric:
    return Metric(f"gpu_mig_{what}_ratio", "gauge", ("uuid", "mig_uuid"), f"{told} of a MIG instance (GPM).")


GPU_MIG_GRAPHICS_ACTIVE = _of_instance("graphics_active", "Share of time in which any engine was active,")
GPU_MIG_SM_ACTIVE = _of_instance("sm_active", "Share of time in which an SM had a warp, mean over the SMs,")
GPU_MIG_SM_OCCUPANCY = _of_instance("sm_occupancy", "Warps on the SMs by the most that fit,")
GPU_MIG_TENSOR_ACTIVE = _of_instance("tensor_active", "Share of time in which the tensor cores worked,")
GPU_MIG_DRAM_BANDWIDTH = _of_instance("dram_bandwidth", "Share of its memory's bandwidth in use,")

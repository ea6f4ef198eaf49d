"""GPUs: label uuid only; what a GPU is stands on its info metric."""

from plimsoll.slo.metrics.metric import Metric

# GPU: label uuid only; what a GPU is stands on gpu_info -------------------------------------------------------
UUID = ("uuid",)
GPU_UP = Metric("gpu_up", "gauge", UUID, "1 if the GPU answers, 0 if it is expected and does not.")
GPU_INFO = Metric(
    "gpu_info",
    "gauge",
    ("uuid", "index", "name", "pci_bus_id", "driver_version", "cuda_version"),
    "What a GPU is, always 1.",
)
GPU_ANSWER_AGE = Metric(
    "gpu_last_response_age_seconds",
    "gauge",
    UUID,
    "Seconds since the GPU last answered; absent before its first answer.",
)
GPU_XID_ERRORS = Metric(
    "gpu_xid_errors_total",
    "counter",
    ("uuid", "xid"),
    "XID errors that the driver reported while the exporter watched, counted across its restarts where --state is given.",
)
GPU_XID_LAST = Metric(
    "gpu_xid_last_timestamp_seconds",
    "gauge",
    ("uuid", "xid"),
    "Unix time at which the exporter was last told of the XID.",
)
GPU_MEMORY_TOTAL = Metric("gpu_memory_total_bytes", "gauge", UUID, "Device memory (nvmlDeviceGetMemoryInfo_v2 total).")
GPU_MEMORY_USED = Metric(
    "gpu_memory_used_bytes", "gauge", UUID, "Device memory in use by processes, driver's own excluded (_v2 used)."
)
GPU_MEMORY_RESERVED = Metric(
    "gpu_memory_reserved_bytes", "gauge", UUID, "Device memory kept by the driver (_v2 reserved)."
)
GPU_MEMORY_FREE = Metric("gpu_memory_free_bytes", "gauge", UUID, "Device memory free (_v2 free).")
GPU_BUSY = Metric(
    "gpu_busy_ratio",
    "gauge",
    UUID,
    "Share of time in which at least one kernel ran (nvmlDeviceGetUtilizationRates gpu). About 1 for any busy engine: never a scaling signal.",
)
GPU_POWER = Metric("gpu_power_watts", "gauge", UUID, "Power drawn by the board (nvmlDeviceGetPowerUsage).")
GPU_POWER_LIMIT = Metric(
    "gpu_power_limit_watts", "gauge", UUID, "Enforced power limit (nvmlDeviceGetEnforcedPowerLimit)."
)
GPU_ENERGY = Metric(
    "gpu_energy_joules_total",
    "counter",
    UUID,
    "Energy since the driver was loaded (nvmlDeviceGetTotalEnergyConsumption).",
)
GPU_TEMPERATURE = Metric("gpu_temperature_celsius", "gauge", UUID, "Core temperature (nvmlDeviceGetTemperature).")
GPU_CLOCK = Metric(
    "gpu_clock_hertz",
    "gauge",
    ("uuid", "domain"),
    "Current clock by domain: sm, memory, graphics, video (nvmlDeviceGetClockInfo).",
)
GPU_CLOCK_MAX = Metric(
    "gpu_clock_max_hertz", "gauge", ("uuid", "domain"), "Highest clock by domain (nvmlDeviceGetMaxClockInfo)."
)

# GPU, health and limits: field values are those of nvmlDeviceGetFieldValues, named NVML_FI_DEV_... -----------------
GPU_MEMORY_BUSY = Metric(
    "gpu_memory_busy_ratio",
    "gauge",
    UUID,
    "Share of time in which device memory was read or written (nvmlDeviceGetUtilizationRates memory): time, not bandwidth.",
)
GPU_BAR1_USED = Metric("gpu_bar1_used_bytes", "gauge", UUID, "BAR1 memory in use (nvmlDeviceGetBAR1MemoryInfo).")
GPU_PERFORMANCE_STATE = Metric(
    "gpu_performance_state", "gauge", UUID, "Performance state, 0 (most) to 15 (nvmlDeviceGetPerformanceState)."
)
GPU_PERSISTENCE = Metric(
    "gpu_persistence_enabled", "gauge", UUID, "1 if the driver stays attached without clients (persistence mode)."
)
GPU_GRAPHICS_ACTIVE = Metric(
    "gpu_graphics_active_ratio", "gauge", UUID, "Share of time in which any engine was active (GPM)."
)
GPU_SM_ACTIVE = Metric(
    "gpu_sm_active_ratio",
    "gauge",
    UUID,
    "Share of the SMs that were busy, mean since the last scrape (GPM; Hopper and later).",
)
GPU_SM_OCCUPANCY = Metric(
    "gpu_sm_occupancy_ratio",
    "gauge",
    UUID,
    "Share of the possible warps that were active, mean since the last scrape (GPM).",
)
GPU_TENSOR_ACTIVE = Metric(
    "gpu_tensor_active_ratio",
    "gauge",
    UUID,
    "Share of time in which the tensor cores worked, mean since the last scrape (GPM): high in prefill.",
)
GPU_DRAM_BANDWIDTH = Metric(
    "gpu_dram_bandwidth_ratio",
    "gauge",
    UUID,
    "Share of the memory bandwidth in use, mean since the last scrape (GPM): high in decode.",
)
GPU_CLOCK_LIMITED = Metric(
    "gpu_clock_limited",
    "gauge",
    ("uuid", "reason"),
    "1 while the reason holds the clocks down, several at once included (nvmlDeviceGetCurrentClocksEventReasons).",
)
GPU_CLOCK_LIMITED_SECONDS = Metric(
    "gpu_clock_limited_seconds_total",
    "counter",
    ("uuid", "reason"),
    "Time for which the reason held the clocks down; reasons overlap, never add them (PERF_POLICY_*, CLOCKS_EVENT_REASON_*, "
    "read as nanoseconds as nvml.h says; not yet checked on a real GPU).",
)
GPU_POWER_AVERAGE = Metric("gpu_power_average_watts", "gauge", UUID, "Mean power over the last second (POWER_AVERAGE).")
GPU_POWER_INSTANT = Metric("gpu_power_instant_watts", "gauge", UUID, "Power at this moment (POWER_INSTANT).")
GPU_POWER_LIMIT_DEFAULT = Metric(
    "gpu_power_limit_default_watts",
    "gauge",
    UUID,
    "Power limit as shipped; an enforced limit below it was set by someone (POWER_DEFAULT_LIMIT).",
)
GPU_POWER_LIMIT_MIN = Metric(
    "gpu_power_limit_min_watts", "gauge", UUID, "Lowest power limit allowed (POWER_MIN_LIMIT)."
)
GPU_POWER_LIMIT_MAX = Metric(
    "gpu_power_limit_max_watts", "gauge", UUID, "Highest power limit allowed (POWER_MAX_LIMIT)."
)
GPU_MEMORY_TEMPERATURE = Metric(
    "gpu_memory_temperature_celsius",
    "gauge",
    UUID,
    "Temperature of the device memory (MEMORY_TEMP); absent without HBM.",
)
GPU_TEMPERATURE_MARGIN = Metric(
    "gpu_temperature_margin_celsius",
    "gauge",
    UUID,
    "Degrees left to the thermal limit (nvmlDeviceGetMarginTemperature).",
)
GPU_TEMPERATURE_THRESHOLD = Metric(
    "gpu_temperature_threshold_celsius",
    "gauge",
    ("uuid", "threshold"),
    "Core and memory temperatures with a consequence (nvmlDeviceGetTemperatureThreshold).",
)
GPU_TEMPERATURE_MARGIN_THRESHOLD = Metric(
    "gpu_temperature_margin_threshold_celsius",
    "gauge",
    ("uuid", "threshold"),
    "Margins with a consequence, negative beyond the limit (TEMPERATURE_*_TLIMIT).",
)
GPU_ECC_ERRORS = Metric(
    "gpu_ecc_errors_total",
    "counter",
    ("uuid", "error"),
    "Memory errors since the driver was loaded, by error: corrected, uncorrected (nvmlDeviceGetTotalEccErrors, volatile).",
)
GPU_ECC_LIFETIME_ERRORS = Metric(
    "gpu_ecc_lifetime_errors_total",
    "counter",
    ("uuid", "error"),
    "Memory errors in the GPU's life, by error (nvmlDeviceGetTotalEccErrors, aggregate).",
)
GPU_SRAM_THRESHOLD_EXCEEDED = Metric(
    "gpu_sram_threshold_exceeded",
    "gauge",
    UUID,
    "1 if SRAM errors passed the vendor's threshold: replace the GPU (nvmlDeviceGetSramEccErrorStatus).",
)
GPU_REMAPPED_ROWS = Metric(
    "gpu_remapped_rows_total",
    "counter",
    ("uuid", "error"),
    "Memory rows replaced by spare ones, by the error that caused it (REMAPPED_COR, REMAPPED_UNC).",
)
GPU_REMAP_PENDING = Metric(
    "gpu_row_remap_pending", "gauge", UUID, "1 if a row is replaced at the next reset (REMAPPED_PENDING)."
)
GPU_REMAP_FAILED = Metric(
    "gpu_row_remap_failed", "gauge", UUID, "1 if replacing a row failed: replace the GPU (REMAPPED_FAILURE)."
)
GPU_REMAP_BANKS = Metric(
    "gpu_row_remap_banks",
    "gauge",
    ("uuid", "spare"),
    "Memory banks by the spare rows that they have left: max, high, partial, low, none (nvmlDeviceGetRowRemapperHistogram).",
)
GPU_RETIRED_PAGES = Metric(
    "gpu_retired_pages_total",
    "counter",
    ("uuid", "error"),
    "Memory pages out of use, by error (RETIRED_SBE, RETIRED_DBE; before Ampere).",
)
GPU_RETIRED_PENDING = Metric(
    "gpu_retired_pages_pending", "gauge", UUID, "1 if pages are retired at the next reset (RETIRED_PENDING)."
)
GPU_RECOVERY_ACTION = Metric(
    "gpu_recovery_action",
    "gauge",
    UUID,
    "What the driver asks for: 0 nothing, 1 GPU reset, 2 node reboot, 3 drain P2P, 4 drain and reset, 5 recover the IMEX domain, "
    "6 bus reset, 7 system reboot (GET_GPU_RECOVERY_ACTION).",
)
GPU_PCIE_GENERATION = Metric(
    "gpu_pcie_link_generation", "gauge", UUID, "PCIe generation of the link now; it drops at idle to save power."
)
GPU_PCIE_GENERATION_MAX = Metric(
    "gpu_pcie_link_generation_max", "gauge", UUID, "Highest PCIe generation of GPU and slot."
)
GPU_PCIE_WIDTH = Metric(
    "gpu_pcie_link_width", "gauge", UUID, "PCIe lanes of the link now; fewer than the most is a fault."
)
GPU_PCIE_WIDTH_MAX = Metric("gpu_pcie_link_width_max", "gauge", UUID, "Most PCIe lanes of GPU and slot.")
GPU_PCIE_REPLAYS = Metric(
    "gpu_pcie_replays_total",
    "counter",
    UUID,
    "PCIe packets sent again (PCIE_REPLAY_COUNTER): a lasting rate is a bad link.",
)
GPU_PCIE_ERRORS = Metric(
    "gpu_pcie_errors_total",
    "counter",
    ("uuid", "kind"),
    "PCIe errors by kind (PCIE_COUNT_*); kinds overlap, never add them.",
)
GPU_PCIE_TRANSMITTED = Metric(
    "gpu_pcie_transmitted_bytes_total",
    "counter",
    UUID,
    "Bytes from the GPU (PCIE_COUNT_TX_BYTES; the driver's counter may wrap).",
)
GPU_PCIE_RECEIVED = Metric(
    "gpu_pcie_received_bytes_total",
    "counter",
    UUID,
    "Bytes to the GPU (PCIE_COUNT_RX_BYTES; the driver's counter may wrap).",
)
GPU_NVLINK_UP = Metric(
    "gpu_nvlink_up", "gauge", ("uuid", "link"), "1 if the NVLink is active (nvmlDeviceGetNvLinkState)."
)
GPU_NVLINK_ERRORS = Metric(
    "gpu_nvlink_errors_total",
    "counter",
    ("uuid", "link", "kind"),
    "Errors of an active NVLink by kind (nvmlDeviceGetNvLinkErrorCounter; on Blackwell and later NVLINK_COUNT_*).",
)
GPU_NVLINK_TRANSMITTED = Metric(
    "gpu_nvlink_transmitted_bytes_total", "counter", UUID, "Payload sent on all NVLinks (NVLINK_THROUGHPUT_DATA_TX)."
)
GPU_NVLINK_RECEIVED = Metric(
    "gpu_nvlink_received_bytes_total", "counter", UUID, "Payload received on all NVLinks (NVLINK_THROUGHPUT_DATA_RX)."
)
GPU_FABRIC_STATE = Metric(
    "gpu_fabric_state",
    "gauge",
    UUID,
    "NVSwitch fabric: 1 not started, 2 in progress, 3 completed; CUDA does not start before 3 (nvmlDeviceGetGpuFabricInfoV).",
)
GPU_FABRIC_HEALTH = Metric(
    "gpu_fabric_health",
    "gauge",
    UUID,
    "The fabric's health: 1 healthy, 2 unhealthy, 3 limited capacity (healthSummary).",
)
GPU_MIG_ENABLED = Metric(
    "gpu_mig_enabled", "gauge", UUID, "1 if the GPU is split into MIG instances (nvmlDeviceGetMigMode)."
)
GPU_MIG_INFO = Metric(
    "gpu_mig_info", "gauge", ("uuid", "mig_uuid", "gpu_instance", "name"), "The MIG instances of a GPU, always 1."
)

"""GPU metrics. Their only common label is `uuid`; `gpu_info` holds the rest of a GPU's identity."""

from plimsoll.slo.metrics.metric import Metric

UUID = ("uuid",)
GPU_UP = Metric(
    "gpu_up",
    "gauge",
    UUID,
    "Whether the GPU responds (1), or is expected but not responding (0). Absent while it can't be asked (gpu_not_readable).",
)
GPU_INFO = Metric(
    "gpu_info",
    "gauge",
    ("uuid", "index", "name", "pci_bus_id", "driver_version", "cuda_version", "vendor"),
    "Identity of a GPU, constant 1.",
)
GPU_RESPONSE_AGE = Metric(
    "gpu_last_response_age_seconds",
    "gauge",
    UUID,
    "Time since the GPU last responded. Absent before its first response.",
)
GPU_XID_ERRORS = Metric(
    "gpu_xid_errors_total",
    "counter",
    ("uuid", "xid"),
    "XID errors reported by NVML or in the kernel's log, each counted once; retained across restarts with --state-dir. Codes start at 0 only if a source can report them.",
)
GPU_XID_LAST = Metric(
    "gpu_xid_last_timestamp_seconds",
    "gauge",
    ("uuid", "xid"),
    "Unix time at which the driver last reported the XID.",
)
GPU_MEMORY_TOTAL = Metric("gpu_memory_total_bytes", "gauge", UUID, "Device memory (nvmlDeviceGetMemoryInfo_v2 total).")
GPU_MEMORY_USED = Metric(
    "gpu_memory_used_bytes", "gauge", UUID, "Device memory used by processes, without the driver's own (_v2 used)."
)
GPU_MEMORY_RESERVED = Metric(
    "gpu_memory_reserved_bytes", "gauge", UUID, "Device memory reserved by the driver (_v2 reserved)."
)
GPU_MEMORY_FREE = Metric("gpu_memory_free_bytes", "gauge", UUID, "Device memory free (_v2 free).")
GPU_BUSY = Metric(
    "gpu_busy_ratio",
    "gauge",
    UUID,
    "Fraction of time with at least one kernel running. Near 1 for any busy engine; don't scale on it.",
)
GPU_POWER = Metric("gpu_power_watts", "gauge", UUID, "Power drawn by the board (nvmlDeviceGetPowerUsage).")
GPU_POWER_LIMIT = Metric(
    "gpu_power_limit_watts", "gauge", UUID, "Enforced power limit (nvmlDeviceGetEnforcedPowerLimit)."
)
GPU_ENERGY = Metric(
    "gpu_energy_joules_total",
    "counter",
    UUID,
    "Energy consumed since the driver was loaded (nvmlDeviceGetTotalEnergyConsumption).",
)
GPU_TEMPERATURE = Metric("gpu_temperature_celsius", "gauge", UUID, "Core temperature (nvmlDeviceGetTemperature).")
GPU_CLOCK = Metric(
    "gpu_clock_hertz",
    "gauge",
    ("uuid", "domain"),
    "Current clock, by domain: sm, memory, graphics, video (nvmlDeviceGetClockInfo).",
)
GPU_CLOCK_MAX = Metric(
    "gpu_clock_max_hertz", "gauge", ("uuid", "domain"), "Maximum clock, by domain (nvmlDeviceGetMaxClockInfo)."
)

# Health and limits. Names in capitals are field values of nvmlDeviceGetFieldValues (NVML_FI_DEV_...).
GPU_MEMORY_BUSY = Metric(
    "gpu_memory_busy_ratio",
    "gauge",
    UUID,
    "Fraction of time with device memory being read or written (nvmlDeviceGetUtilizationRates memory): time, not bandwidth.",
)
GPU_BAR1_USED = Metric("gpu_bar1_used_bytes", "gauge", UUID, "BAR1 memory used (nvmlDeviceGetBAR1MemoryInfo).")
GPU_PERFORMANCE_STATE = Metric(
    "gpu_performance_state", "gauge", UUID, "Performance state, 0 (maximum) to 15 (nvmlDeviceGetPerformanceState)."
)
GPU_PERSISTENCE = Metric(
    "gpu_persistence_enabled",
    "gauge",
    UUID,
    "Whether persistence mode is on (1): the driver stays attached without clients.",
)
GPU_GRAPHICS_ACTIVE = Metric(
    "gpu_graphics_active_ratio", "gauge", UUID, "Fraction of time with any engine active (GPM)."
)
GPU_SM_ACTIVE = Metric(
    "gpu_sm_active_ratio",
    "gauge",
    UUID,
    "Fraction of SMs active, mean since the last scrape (GPM; Hopper and later).",
)
GPU_SM_OCCUPANCY = Metric(
    "gpu_sm_occupancy_ratio",
    "gauge",
    UUID,
    "Fraction of the possible warps active, mean since the last scrape (GPM).",
)
GPU_TENSOR_ACTIVE = Metric(
    "gpu_tensor_active_ratio",
    "gauge",
    UUID,
    "Fraction of time with the tensor cores active, mean since the last scrape (GPM): high in prefill.",
)
GPU_DRAM_BANDWIDTH = Metric(
    "gpu_dram_bandwidth_ratio",
    "gauge",
    UUID,
    "Fraction of the memory bandwidth used, mean since the last scrape (GPM): high in decode.",
)
GPU_CLOCK_LIMITED = Metric(
    "gpu_clock_limited",
    "gauge",
    ("uuid", "reason"),
    "Whether the reason limits the clocks now (1); several can at once (nvmlDeviceGetCurrentClocksEventReasons).",
)
GPU_CLOCK_LIMITED_SECONDS = Metric(
    "gpu_clock_limited_seconds_total",
    "counter",
    ("uuid", "reason"),
    "Time the clocks were limited, by reason. Reasons overlap; don't sum them.",
)
GPU_POWER_AVERAGE = Metric("gpu_power_average_watts", "gauge", UUID, "Mean power over the last second (POWER_AVERAGE).")
GPU_POWER_INSTANT = Metric("gpu_power_instant_watts", "gauge", UUID, "Instantaneous power (POWER_INSTANT).")
GPU_POWER_LIMIT_DEFAULT = Metric(
    "gpu_power_limit_default_watts",
    "gauge",
    UUID,
    "Default power limit; an enforced limit below it was set by an operator (POWER_DEFAULT_LIMIT).",
)
GPU_POWER_LIMIT_MIN = Metric(
    "gpu_power_limit_min_watts", "gauge", UUID, "Minimum configurable power limit (POWER_MIN_LIMIT)."
)
GPU_POWER_LIMIT_MAX = Metric(
    "gpu_power_limit_max_watts", "gauge", UUID, "Maximum configurable power limit (POWER_MAX_LIMIT)."
)
GPU_MEMORY_TEMPERATURE = Metric(
    "gpu_memory_temperature_celsius",
    "gauge",
    UUID,
    "Temperature of the device memory (MEMORY_TEMP). Absent without HBM.",
)
GPU_TEMPERATURE_MARGIN = Metric(
    "gpu_temperature_margin_celsius",
    "gauge",
    UUID,
    "Margin to the thermal limit (nvmlDeviceGetMarginTemperature).",
)
GPU_TEMPERATURE_THRESHOLD = Metric(
    "gpu_temperature_threshold_celsius",
    "gauge",
    ("uuid", "threshold"),
    "Core and memory temperature thresholds, by threshold (nvmlDeviceGetTemperatureThreshold).",
)
GPU_TEMPERATURE_MARGIN_THRESHOLD = Metric(
    "gpu_temperature_margin_threshold_celsius",
    "gauge",
    ("uuid", "threshold"),
    "Temperature margin thresholds, by threshold; negative beyond the limit (TEMPERATURE_*_TLIMIT).",
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
    "Memory errors over the GPU's lifetime, by error (nvmlDeviceGetTotalEccErrors, aggregate).",
)
GPU_SRAM_THRESHOLD_EXCEEDED = Metric(
    "gpu_sram_threshold_exceeded",
    "gauge",
    UUID,
    "Whether SRAM errors exceed the vendor's threshold (1): replace the GPU (nvmlDeviceGetSramEccErrorStatus).",
)
GPU_REMAPPED_ROWS = Metric(
    "gpu_remapped_rows_total",
    "counter",
    ("uuid", "error"),
    "Memory rows replaced by spare rows, by the error that caused it (REMAPPED_COR, REMAPPED_UNC).",
)
GPU_REMAP_PENDING = Metric(
    "gpu_row_remap_pending", "gauge", UUID, "Whether a row is to be remapped at the next reset (1) (REMAPPED_PENDING)."
)
GPU_REMAP_FAILED = Metric(
    "gpu_row_remap_failed", "gauge", UUID, "Whether remapping a row failed (1): replace the GPU (REMAPPED_FAILURE)."
)
GPU_REMAP_BANKS = Metric(
    "gpu_row_remap_banks",
    "gauge",
    ("uuid", "spare"),
    "Memory banks, by spare rows remaining: max, high, partial, low, none (nvmlDeviceGetRowRemapperHistogram).",
)
GPU_RETIRED_PAGES = Metric(
    "gpu_retired_pages_total",
    "counter",
    ("uuid", "error"),
    "Memory pages retired, by error (RETIRED_SBE, RETIRED_DBE; before Ampere).",
)
GPU_RETIRED_PENDING = Metric(
    "gpu_retired_pages_pending",
    "gauge",
    UUID,
    "Whether pages are to be retired at the next reset (1) (RETIRED_PENDING).",
)
GPU_RECOVERY_ACTION = Metric(
    "gpu_recovery_action",
    "gauge",
    UUID,
    "Recovery action requested by the driver: 0 none, 1 GPU reset, 2 node reboot, 3 drain P2P, 4 drain and reset, 5 recover the IMEX domain, 6 bus reset, 7 system reboot (GET_GPU_RECOVERY_ACTION).",
)
GPU_PCIE_GENERATION = Metric(
    "gpu_pcie_link_generation", "gauge", UUID, "Current PCIe generation of the link; it drops at idle to save power."
)
GPU_PCIE_GENERATION_MAX = Metric(
    "gpu_pcie_link_generation_max", "gauge", UUID, "Maximum PCIe generation of GPU and slot."
)
GPU_PCIE_WIDTH = Metric(
    "gpu_pcie_link_width", "gauge", UUID, "Current PCIe lanes of the link; fewer than the maximum is a fault."
)
GPU_PCIE_WIDTH_MAX = Metric("gpu_pcie_link_width_max", "gauge", UUID, "Maximum PCIe lanes of GPU and slot.")
GPU_PCIE_REPLAYS = Metric(
    "gpu_pcie_replays_total",
    "counter",
    UUID,
    "PCIe packets retransmitted (PCIE_REPLAY_COUNTER): a sustained rate means a bad link.",
)
GPU_PCIE_ERRORS = Metric(
    "gpu_pcie_errors_total",
    "counter",
    ("uuid", "kind"),
    "PCIe errors, by kind (PCIE_COUNT_*). Kinds overlap; don't sum them.",
)
GPU_PCIE_TRANSMITTED = Metric(
    "gpu_pcie_transmitted_bytes_total",
    "counter",
    UUID,
    "Bytes sent by the GPU (PCIE_COUNT_TX_BYTES; the driver's counter may wrap).",
)
GPU_PCIE_RECEIVED = Metric(
    "gpu_pcie_received_bytes_total",
    "counter",
    UUID,
    "Bytes received by the GPU (PCIE_COUNT_RX_BYTES; the driver's counter may wrap).",
)
GPU_NVLINK_UP = Metric(
    "gpu_nvlink_up",
    "gauge",
    ("uuid", "link"),
    "Whether the NVLink is active (1) or not (0) (nvmlDeviceGetNvLinkState).",
)
GPU_NVLINK_ERRORS = Metric(
    "gpu_nvlink_errors_total",
    "counter",
    ("uuid", "link", "kind"),
    "Errors of an active NVLink, by kind (nvmlDeviceGetNvLinkErrorCounter; on Blackwell and later NVLINK_COUNT_*).",
)
GPU_NVLINK_TRANSMITTED = Metric(
    "gpu_nvlink_transmitted_bytes_total",
    "counter",
    UUID,
    "Payload bytes sent on all NVLinks (NVLINK_THROUGHPUT_DATA_TX).",
)
GPU_NVLINK_RECEIVED = Metric(
    "gpu_nvlink_received_bytes_total",
    "counter",
    UUID,
    "Payload bytes received on all NVLinks (NVLINK_THROUGHPUT_DATA_RX).",
)
GPU_MIG_ENABLED = Metric(
    "gpu_mig_enabled",
    "gauge",
    UUID,
    "Whether MIG is enabled (1): the GPU is split into instances (nvmlDeviceGetMigMode).",
)
GPU_MIG_INFO = Metric(
    "gpu_mig_info", "gauge", ("uuid", "mig_uuid", "gpu_instance", "name"), "MIG instances of a GPU, constant 1."
)

"""GPU health: memory errors, clock limits, and temperatures."""

import ctypes

import pynvml

from plimsoll.exporters.nvml.abi import Handle, call, versioned
from plimsoll.exporters.nvml.readers.fields import THRESHOLDS
from plimsoll.exporters.nvml.registry import Values, reader
from plimsoll.slo import metrics as c

# nvmlClocksEventReason...
REASONS = {
    0x1: "gpu_idle",
    0x2: "application_clocks",
    0x4: "software_power_cap",
    0x8: "hardware_slowdown",
    0x10: "sync_boost",
    0x20: "software_thermal",
    0x40: "hardware_thermal",
    0x80: "hardware_power_brake",
    0x100: "display_clock",
}
_ERRORS = ("corrected", "uncorrected")  # nvmlMemoryErrorType_t
# Fields of nvmlEccSramErrorStatus_v1_t
_SRAM_ERRORS = {"corrected": "volatileCor", "parity": "volatileUncParity", "secded": "volatileUncSecDed"}
_SRAM_UNITS = {
    "l2": "aggregateUncBucketL2",
    "sm": "aggregateUncBucketSm",
    "pcie": "aggregateUncBucketPcie",
    "microcontroller": "aggregateUncBucketMcu",
    "other": "aggregateUncBucketOther",
}
_SPARE = ("max", "high", "partial", "low", "none")


class _Margin(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint), ("degrees", ctypes.c_int))


class _Histogram(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint) for name in _SPARE)


@reader
def clock_limits(handle: Handle) -> Values:
    """Yield every reason, as 1 or 0."""
    reasons = ctypes.c_ulonglong()
    try:
        call("nvmlDeviceGetCurrentClocksEventReasons", handle, ctypes.byref(reasons))
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_FUNCTION_NOT_FOUND:
            raise
        call("nvmlDeviceGetCurrentClocksThrottleReasons", handle, ctypes.byref(reasons))  # its name before driver 535
    for mask, reason in REASONS.items():
        yield c.GPU_CLOCK_LIMITED, {"reason": reason}, int(bool(reasons.value & mask))


@reader
def ecc(handle: Handle) -> Values:
    """Yield the ECC errors since the driver was loaded, and over the GPU's lifetime."""
    for counter, metric in enumerate((c.GPU_ECC_ERRORS, c.GPU_ECC_LIFETIME_ERRORS)):
        for error, name in enumerate(_ERRORS):
            yield metric, {"error": name}, pynvml.nvmlDeviceGetTotalEccErrors(handle, error, counter)


@reader
def ecc_mode(handle: Handle) -> Values:
    """Yield whether ECC is on, now and after the next reset."""
    for when, mode in zip(("now", "pending"), pynvml.nvmlDeviceGetEccMode(handle), strict=True):
        yield c.GPU_ECC_MODE, {"when": when}, mode


@reader
def sram(handle: Handle) -> Values:
    """Yield the SRAM errors, and whether they exceed the vendor's threshold."""
    status = pynvml.c_nvmlEccSramErrorStatus_v1_t()
    pynvml.nvmlDeviceGetSramEccErrorStatus(handle, ctypes.byref(status))
    yield c.GPU_SRAM_THRESHOLD_EXCEEDED, {}, int(bool(status.bThresholdExceeded))
    for error, field in _SRAM_ERRORS.items():
        yield c.GPU_SRAM_ERRORS, {"error": error}, getattr(status, field)
    for unit, field in _SRAM_UNITS.items():
        yield c.GPU_SRAM_LIFETIME_ERRORS, {"unit": unit}, getattr(status, field)


@reader
def remap_banks(handle: Handle) -> Values:
    """Yield the memory banks by spare rows remaining."""
    histogram = _Histogram()
    call("nvmlDeviceGetRowRemapperHistogram", handle, ctypes.byref(histogram))
    for spare in _SPARE:
        yield c.GPU_REMAP_BANKS, {"spare": spare}, getattr(histogram, spare)


@reader
def margin(handle: Handle) -> Values:
    """Yield the margin to the thermal limit (driver 570 and later)."""
    answer = versioned(_Margin, 1)
    call("nvmlDeviceGetMarginTemperature", handle, ctypes.byref(answer))
    yield c.GPU_TEMPERATURE_MARGIN, {}, answer.degrees


@reader
def thresholds(handle: Handle) -> Values:
    """Yield the temperature thresholds, which newer GPUs replace by margins."""
    for number, threshold in enumerate(THRESHOLDS):
        degrees = pynvml.nvmlDeviceGetTemperatureThreshold(handle, number)
        yield c.GPU_TEMPERATURE_THRESHOLD, {"threshold": threshold}, degrees

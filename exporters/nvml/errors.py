"""The meaning of NVML's return codes for an exporter.

Never format an NVMLError with `str`: for codes unknown to the binding that calls the driver, which may hang. Use its `value`.
"""

from functools import cache

# A field unavailable for this GPU, driver or user: NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, NO_DATA,
# ARGUMENT_VERSION_MISMATCH, DEPRECATED. Not a failure; the sample is absent.
ABSENT = frozenset({3, 4, 13, 21, 25, 26})
# This GPU failed, or isn't accessible: GPU_IS_LOST, RESET_REQUIRED, OPERATING_SYSTEM (blocked, by a cgroup for example).
GPU_FAILED = frozenset({15, 16, 17})
# The GPU computes without its InfoROM.
CORRUPTED_INFOROM = 14
# Every handle is invalid until the library is reinitialized: UNINITIALIZED, DRIVER_NOT_LOADED, LIB_RM_VERSION_MISMATCH,
# GPU_NOT_FOUND.
LIBRARY_UNUSABLE = frozenset({1, 9, 18, 28})
# Not available on this GPU or under this driver, as long as nothing is reconfigured: NOT_SUPPORTED, FUNCTION_NOT_FOUND.
UNSUPPORTED = frozenset({3, 13})
UNKNOWN = 999
# The exporter can't ask, and the GPU may be fine: values of the label `reason` of gpu_not_readable. Without
# permission: NO_PERMISSION, and OPERATING_SYSTEM. UNKNOWN counts only if every GPU returns it.
REASONS = {
    4: "no_permission",
    9: "driver_not_loaded",
    12: "library_missing",
    17: "no_permission",
    18: "driver_mismatch",
}
DEVICES_LOST, OTHER_REASON = "devices_lost", "library_failed"

_INIT_ADVICE = {
    9: "the NVIDIA driver isn't loaded. Load it (`nvidia-smi` shows the reason), or start with --no-gpu.",
    12: "NVML library libnvidia-ml.so.1 not found. Install the NVIDIA driver, or start with --no-gpu.",
    18: "library and kernel module have different driver versions. Finish the driver upgrade, or restart this container.",
    999: "NVML doesn't start (UNKNOWN, 999). This container may have lost its GPUs; restart it.",
}


@cache
def _names() -> dict[int, str]:
    import pynvml  # noqa: PLC0415 - 1.3 MiB that the exporter's own process does not need

    prefix = "NVML_ERROR_"
    return {value: name.removeprefix(prefix) for name, value in vars(pynvml).items() if name.startswith(prefix)}


def init_reason(code: int) -> str:
    """Return why the library doesn't start, as a value of the label `reason`."""
    return DEVICES_LOST if code == UNKNOWN else REASONS.get(code, OTHER_REASON)


def name(code: int) -> str:
    """Return a code's name, or its number where the binding has no name."""
    return _names().get(code, str(code))


def describe(code: int) -> str:
    """Return a code's name and number, from the binding's constants."""
    return f"{_names().get(code, 'unknown code')} ({code})"


def describe_init(code: int) -> str:
    """Return why the library doesn't start, and the fix."""
    return _INIT_ADVICE.get(code, f"NVML doesn't start: {describe(code)}. Run `nvidia-smi` for details.")

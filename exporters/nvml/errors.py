"""What NVML's return codes mean for an exporter.

An NVMLError is never turned into text by `str`: for codes that the binding does not know, that calls into the driver,
which is the very thing in trouble. Its `value` is enough.
"""

import pynvml

# A field that this GPU, driver or user cannot have: NOT_SUPPORTED, NO_PERMISSION, FUNCTION_NOT_FOUND, NO_DATA,
# ARGUMENT_VERSION_MISMATCH, DEPRECATED. Nothing is wrong; the sample is absent.
ABSENT = frozenset({3, 4, 13, 21, 25, 26})
# This GPU is in trouble: CORRUPTED_INFOROM, GPU_IS_LOST, RESET_REQUIRED, OPERATING_SYSTEM (blocked, by a cgroup for example).
GPU_FAILED = frozenset({14, 15, 16, 17})
# Every handle is void until the library is initialised again: UNINITIALIZED, DRIVER_NOT_LOADED, LIB_RM_VERSION_MISMATCH,
# GPU_NOT_FOUND.
LIBRARY_UNUSABLE = frozenset({1, 9, 18, 28})

_NAMES: dict[int, str] = {
    value: name.removeprefix("NVML_ERROR_") for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_")
}
_INIT_ADVICE = {
    9: "the NVIDIA driver is not loaded: load it (`nvidia-smi` says why it is not) or start with --no-gpu",
    12: "NVML library libnvidia-ml.so.1 not found: install the NVIDIA driver or start with --no-gpu",
    18: "library and kernel module are of different driver versions: finish the driver's upgrade, or restart this container",
    999: "NVML does not start (UNKNOWN, 999): this container may have lost its GPUs; start it again",
}


def name(code: int) -> str:
    """A return code's name, or its number where the binding has none."""
    return _NAMES.get(code, str(code))


def describe(code: int) -> str:
    """A return code in words, from the binding's own constants."""
    return f"{_NAMES.get(code, 'an unknown code')} ({code})"


def describe_init(code: int) -> str:
    """Why the library does not start, and what to do."""
    return _INIT_ADVICE.get(code, f"NVML does not start: {describe(code)}; `nvidia-smi` may say more")

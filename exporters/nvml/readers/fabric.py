"""The NVSwitch fabric that a GPU belongs to: state, result, health, and clique."""

import ctypes

import pynvml

from plimsoll.exporters.nvml.abi import Handle, call, versioned
from plimsoll.exporters.nvml.errors import ABSENT
from plimsoll.exporters.nvml.registry import Values, reader
from plimsoll.slo import metrics as c

COMPLETED = 3  # NVML_GPU_FABRIC_STATE_COMPLETED: only then status, cluster and clique are valid
# Bit position and width of each part of the health mask (NVML_GPU_FABRIC_HEALTH_MASK_...). In the first ones 1 is true, 2 false
# and 0 not supported; in the last, 1 means no fault, and more is the kind of fault.
_FAULTS = {"degraded_bandwidth": 0, "route_recovery": 2, "route_unhealthy": 4, "access_timeout_recovery": 6}
_CONFIGURATION, _CONFIGURATION_SHIFT, _CONFIGURATION_MASK = "incorrect_configuration", 8, 0xF


class _Fabric(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint),
        ("cluster", ctypes.c_uint8 * 16),
        ("status", ctypes.c_int),
        ("clique", ctypes.c_uint32),
        ("state", ctypes.c_uint),
        ("health_mask", ctypes.c_uint32),
    )


class _Fabric3(ctypes.Structure):
    _fields_ = (*_Fabric._fields_, ("health", ctypes.c_uint8))


@reader
def fabric(handle: Handle) -> Values:
    """Yield the state of the NVSwitch fabric, if there is one. A driver accepts structures up to its own version."""
    for layout, version in ((_Fabric3, 3), (_Fabric, 2)):
        answer = versioned(layout, version)
        try:
            call("nvmlDeviceGetGpuFabricInfoV", handle, ctypes.byref(answer))
            break
        except pynvml.NVMLError as error:
            if error.value not in ABSENT:
                raise
    else:
        return
    if not answer.state:
        return
    yield c.GPU_FABRIC_STATE, {}, answer.state
    if getattr(answer, "health", 0):
        yield c.GPU_FABRIC_HEALTH, {}, answer.health
    yield from _faults(answer.health_mask)
    if answer.state == COMPLETED:
        yield c.GPU_FABRIC_STATUS, {}, answer.status
        if not answer.status and any(answer.cluster):
            cluster = bytes(answer.cluster).hex()
            yield c.GPU_FABRIC_INFO, {"cluster": cluster, "clique": str(answer.clique)}, 1


def _faults(mask: int) -> Values:
    for fault, shift in _FAULTS.items():
        if flag := mask >> shift & 3:
            yield c.GPU_FABRIC_FAULT, {"fault": fault}, int(flag == 1)
    if kind := mask >> _CONFIGURATION_SHIFT & _CONFIGURATION_MASK:
        yield c.GPU_FABRIC_FAULT, {"fault": _CONFIGURATION}, int(kind > 1)

"""The board: serial and firmware versions, fans, modes, and repairs pending until a reset."""

import ctypes
from collections.abc import Callable

import pynvml

from plimsoll.exporters.nvml.abi import Driver, Handle, call, optional_text, versioned
from plimsoll.exporters.nvml.errors import ABSENT, CORRUPTED_INFOROM
from plimsoll.exporters.nvml.registry import Values, cached_reader_per_gpu, reader, reader_per_gpu
from plimsoll.slo import metrics as c

_GSP_VERSION_BYTES = 0x40  # NVML_GSP_FIRMWARE_VERSION_BUF_SIZE


class _Repair(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint), ("channel", ctypes.c_uint), ("tpc", ctypes.c_uint))


class _Unrepairable(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint), ("flag", ctypes.c_uint))


@cached_reader_per_gpu
class Board:
    """Board identity, which never changes: read once."""

    def __init__(self, _driver: Driver) -> None:
        self._info: dict[str, str] | None = None
        self._corrupted = False

    def __call__(self, handle: Handle) -> Values:
        """Yield the identity; a value that the GPU doesn't report is an empty label. Raises CORRUPTED_INFOROM after it."""
        if self._info is None:
            self._info = {
                "serial": self._text(lambda: pynvml.nvmlDeviceGetSerial(handle)),
                "vbios_version": self._text(lambda: pynvml.nvmlDeviceGetVbiosVersion(handle)),
                "inforom_version": self._text(lambda: pynvml.nvmlDeviceGetInforomImageVersion(handle)),
                "gsp_version": self._text(lambda: _gsp_version(handle)),
            }
        yield c.GPU_BOARD_INFO, self._info, 1
        if self._corrupted:
            raise pynvml.NVMLError(CORRUPTED_INFOROM)

    def _text(self, read: Callable[[], object]) -> str:
        try:
            return optional_text(read)
        except pynvml.NVMLError as error:
            if error.value != CORRUPTED_INFOROM:
                raise
            self._corrupted = True
            return ""


@reader_per_gpu
class Fans:
    """The fans of one GPU; SXM boards have none."""

    def __init__(self, _driver: Driver) -> None:
        self._count: int | None = None

    def __call__(self, handle: Handle) -> Values:
        """Yield the speed of each fan."""
        if self._count is None:
            try:
                self._count = pynvml.nvmlDeviceGetNumFans(handle)
            except pynvml.NVMLError as error:
                if error.value not in ABSENT:
                    raise
                self._count = 0
        for fan in range(self._count):
            yield c.GPU_FAN_SPEED, {"fan": str(fan)}, pynvml.nvmlDeviceGetFanSpeed_v2(handle, fan) / 100


def _gsp_version(handle: Handle) -> bytes:
    """Return the GSP firmware version. The binding's own function changed its arguments between versions."""
    version = ctypes.create_string_buffer(_GSP_VERSION_BYTES)
    call("nvmlDeviceGetGspFirmwareVersion", handle, version)
    return version.value


@reader
def compute_mode(handle: Handle) -> Values:
    """Yield the compute mode."""
    yield c.GPU_COMPUTE_MODE, {}, pynvml.nvmlDeviceGetComputeMode(handle)


@reader
def gsp(handle: Handle) -> Values:
    """Yield whether the GSP runs the driver. The binding's default arguments aren't thread-safe, so it isn't used here."""
    enabled, by_default = ctypes.c_uint(), ctypes.c_uint()
    call("nvmlDeviceGetGspFirmwareMode", handle, ctypes.byref(enabled), ctypes.byref(by_default))
    yield c.GPU_GSP_ENABLED, {}, enabled.value


@reader
def repair(handle: Handle) -> Values:
    """Yield what the next reset repairs (driver 580 and later)."""
    answer = versioned(_Repair, 1)
    call("nvmlDeviceGetRepairStatus", handle, ctypes.byref(answer))
    for part in ("channel", "tpc"):
        yield c.GPU_REPAIR_PENDING, {"part": part}, getattr(answer, part)


@reader
def unrepairable(handle: Handle) -> Values:
    """Yield whether the memory is unrepairable (driver 590 and later)."""
    answer = versioned(_Unrepairable, 1)
    call("nvmlDeviceGetUnrepairableMemoryFlag_v1", handle, ctypes.byref(answer))
    yield c.GPU_MEMORY_UNREPAIRABLE, {}, answer.flag

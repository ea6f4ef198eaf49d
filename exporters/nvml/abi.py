"""The driver library's own symbols, numbers and structures, for calls that an older Python binding lacks.

Source: nvml.h of go-nvml 2f9e261. Field numbers belong to the driver and a few have changed; the binding's constants match one
driver version only.
"""

import ctypes
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, cast

import pynvml

from plimsoll.exporters.nvml.errors import ABSENT, GPU_FAILED, LIBRARY_UNUSABLE

Handle = Any
_FIELD_VALUE = struct.Struct("=IIqqIi8s")  # nvmlFieldValue_t: id, scope, timestamp, latency, type, return code, value
# nvmlValueType_t: double, unsigned int, unsigned long, unsigned long long, signed long long, signed int, unsigned short
_DECODERS = tuple(struct.Struct(code) for code in ("=d", "=I", "=Q", "=Q", "=q", "=i", "=H"))


def call(symbol: str, *arguments: object) -> None:
    """Call a function of the library; raises NVMLError, FUNCTION_NOT_FOUND if this driver lacks the symbol."""
    code = function(symbol)(*arguments)
    if code:
        raise pynvml.NVMLError(code)


def function(symbol: str) -> Callable[..., int]:
    """Return the library's function, which returns an NVML code; raises NVMLError as `call` does."""
    return cast("Callable[..., int]", pynvml._nvmlGetFunctionPointer(symbol))


def versioned(layout: type[ctypes.Structure], version: int) -> Any:
    """Return an empty structure with `version` set as NVML requires: size and version number combined."""
    structure = layout()
    structure.version = ctypes.sizeof(layout) | version << 24
    return structure


def field_values(handle: Handle, fields: tuple[tuple[int, int], ...]) -> list[float | None]:
    """Return the values of fields given as (number, scope), None where unavailable; raises NVMLError if the GPU failed."""
    answers = ctypes.create_string_buffer(_requests(fields), _FIELD_VALUE.size * len(fields))
    call("nvmlDeviceGetFieldValues", handle, len(fields), answers)
    values: list[float | None] = []
    for _, _, _, _, kind, code, value in _FIELD_VALUE.iter_unpack(answers):
        if code in GPU_FAILED | LIBRARY_UNUSABLE:
            raise pynvml.NVMLError(code)
        known = code == 0 and kind < len(_DECODERS)
        values.append(_DECODERS[kind].unpack_from(value)[0] if known else None)
    return values


@lru_cache(maxsize=64)
def _requests(fields: tuple[tuple[int, int], ...]) -> bytes:
    """Return the request structures. The binding rebuilds them at each call, which takes longer than the call."""
    return b"".join(_FIELD_VALUE.pack(number, scope, 0, 0, 0, 0, bytes(8)) for number, scope in fields)


class Driver(NamedTuple):
    """A driver version, as in 580.82.07."""

    major: int
    minor: int


def driver(version: str) -> Driver:
    """Parse a version; an invalid one becomes 0.0, older than all."""
    major, minor, *_ = (*version.split("."), "", "")
    return Driver(int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else Driver(0, 0)


def text(value: object) -> str:
    """Decode NVML's text, which is bytes or str by the binding's version."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def optional_text(read: Callable[[], object]) -> str:
    """Return NVML's text, or an empty label where this driver lacks it."""
    try:
        return text(read())
    except pynvml.NVMLError as error:
        if error.value in ABSENT:
            return ""
        raise

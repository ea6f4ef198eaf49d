"""NVLinks: state and errors per link, and the bytes of all links."""

import ctypes
from collections.abc import Callable
from functools import cache

import pynvml

from plimsoll.exporters.nvml.abi import Driver, Handle, call, field_values, function
from plimsoll.exporters.nvml.errors import ABSENT, GPU_FAILED, LIBRARY_UNUSABLE
from plimsoll.exporters.nvml.registry import Values, reader_per_gpu
from plimsoll.slo import metrics as c

LINK_COUNT, ALL_LINKS, KIB = 91, 0xFFFFFFFF, 1024
# NVML_NVLINK_ERROR_DL_..., up to Hopper
_COUNTER, _COUNTERS = "nvmlDeviceGetNvLinkErrorCounter", ("replay", "recovery", "crc_flit", "crc_data")
# NVML_FI_DEV_NVLINK_COUNT_..., from Blackwell on, where the driver no longer has the counters above
_FIELDS = {
    206: "malformed_packet",
    207: "buffer_overrun",
    208: "receive",
    209: "receive_remote",
    210: "receive_general",
    211: "local_link_integrity",
    212: "transmit_discard",
    214: "recovery_failed",
    215: "recovery",
    219: "effective",
    221: "symbol",
}
_LINK_BYTES = {c.GPU_NVLINK_TRANSMITTED: 202, c.GPU_NVLINK_RECEIVED: 204}
_TOTAL_KIB = {c.GPU_NVLINK_TRANSMITTED: 138, c.GPU_NVLINK_RECEIVED: 139}


@reader_per_gpu
class NvLinks:
    """Reads the links of one GPU. The first read detects which counters their generation has."""

    def __init__(self, _driver: Driver) -> None:
        self._count: int | None = None
        self._errors: Callable[[Handle, list[int]], Values] | None = None

    def __call__(self, handle: Handle) -> Values:
        """Yield the state of each link, the errors of each active link, and the bytes of all; nothing without NVLink."""
        if not self._count:  # asked again while the driver doesn't report it: the fabric manager may start later
            self._count = int(field_values(handle, ((LINK_COUNT, 0),))[0] or 0)
        states = {link: _state(handle, link) for link in range(self._count)}
        for link, active in states.items():
            if active is not None:
                yield c.GPU_NVLINK_UP, _labels(link), active
        up = [link for link, active in states.items() if active]
        if any(active is not None for active in states.values()):
            yield from _bytes(handle, up)
        if up:
            self._errors = self._errors or _errors_for(handle, up[0])
            yield from self._errors(handle, up)


def _state(handle: Handle, link: int) -> int | None:
    """Return whether the link is active, None where only its number exists: the driver's count is an upper bound."""
    try:
        return int(pynvml.nvmlDeviceGetNvLinkState(handle, link))
    except pynvml.NVMLError as error:
        if error.value in GPU_FAILED | LIBRARY_UNUSABLE:
            raise
        return None


def _errors_for(handle: Handle, link: int) -> Callable[[Handle, list[int]], Values]:
    try:
        call(_COUNTER, handle, link, 0, ctypes.byref(ctypes.c_ulonglong()))
    except pynvml.NVMLError as error:
        if error.value not in ABSENT:
            raise
        return _field_errors
    return _counter_errors


def _counter_errors(handle: Handle, links: list[int]) -> Values:
    # 72 calls per GPU are half of the time to read it, so the call is prepared once.
    read, count = function(_COUNTER), ctypes.c_ulonglong()
    into = ctypes.byref(count)
    for link in links:
        for number, kind in enumerate(_COUNTERS):
            code = read(handle, link, number, into)
            if code in GPU_FAILED | LIBRARY_UNUSABLE:
                raise pynvml.NVMLError(code)
            if not code:
                yield c.GPU_NVLINK_ERRORS, _labels(link, kind), count.value


def _field_errors(handle: Handle, links: list[int]) -> Values:
    asked = tuple((number, link) for link in links for number in _FIELDS)
    for (number, link), value in zip(asked, field_values(handle, asked), strict=True):
        if value is not None:
            yield c.GPU_NVLINK_ERRORS, _labels(link, _FIELDS[number]), value


@cache
def _labels(link: int, kind: str = "") -> dict[str, str]:
    return {"link": str(link), "kind": kind} if kind else {"link": str(link)}


def _bytes(handle: Handle, links: list[int]) -> Values:
    """Yield the driver's sum in KiB, else (NVLink 5) the sum over all active links, if every one reports."""
    totals = field_values(handle, tuple((number, ALL_LINKS) for number in _TOTAL_KIB.values()))
    for metric, total in zip(_TOTAL_KIB, totals, strict=True):
        if total is not None:
            yield metric, {}, total * KIB
        elif links:
            parts = field_values(handle, tuple((_LINK_BYTES[metric], link) for link in links))
            known = [part for part in parts if part is not None]
            if len(known) == len(parts):
                yield metric, {}, sum(known)

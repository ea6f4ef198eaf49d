"""XID events of one GPU, as the driver reports them."""

import ctypes
import time
from collections.abc import Callable
from contextlib import suppress

import pynvml

from plimsoll.exporters.nvml.abi import Handle
from plimsoll.exporters.nvml.errors import LIBRARY_UNUSABLE

OnXid = Callable[[str, int, float], None]  # uuid, XID, Unix time
WAIT_MS = 5000
BACKOFF = (1.0, 30.0)


class XidWatcher:
    """Waits for the XIDs of one GPU, with its own thread and event set, so that a hung GPU blocks no other.

    The driver doesn't repeat events: XIDs before `run`, or between two event sets after an error, are missed.
    """

    def __init__(self, handle: Handle, uuid: str, on_xid: OnXid) -> None:
        self._handle = handle
        self._uuid = uuid
        self._on_xid = on_xid
        self._ended = False

    def follows(self, handle: Handle) -> bool:
        """Return whether it watches this handle; for another handle it stops."""
        same = ctypes.cast(handle, ctypes.c_void_p).value == ctypes.cast(self._handle, ctypes.c_void_p).value
        self._ended |= not same
        return not self._ended

    def run(self) -> None:
        """Report every XID until the handle is invalid or has no events."""
        pause = BACKOFF[0]
        while not self._ended:
            try:
                self._listen()
            except pynvml.NVMLError as error:
                if error.value in LIBRARY_UNUSABLE | {pynvml.NVML_ERROR_NOT_SUPPORTED}:
                    break
            time.sleep(pause)
            pause = min(pause * 2, BACKOFF[1])
        self._ended = True

    def _listen(self) -> None:
        """Use one event set until it fails; raises NVMLError. Registering an unsupported event type would register nothing."""
        kinds = pynvml.nvmlDeviceGetSupportedEventTypes(self._handle) & pynvml.nvmlEventTypeXidCriticalError
        if not kinds:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        events = pynvml.nvmlEventSetCreate()
        try:
            pynvml.nvmlDeviceRegisterEvents(self._handle, kinds, events)
            while not self._ended:
                with suppress(pynvml.NVMLError_Timeout):
                    event = pynvml.nvmlEventSetWait_v2(events, WAIT_MS)
                    if event.eventType & pynvml.nvmlEventTypeXidCriticalError:
                        self._on_xid(self._uuid, int(event.eventData), time.time())
        finally:
            with suppress(pynvml.NVMLError):
                pynvml.nvmlEventSetFree(events)

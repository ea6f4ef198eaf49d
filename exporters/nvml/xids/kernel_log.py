"""XIDs and SXids from the kernel's log. NVML reports none of an NVSwitch, and not those of a GPU that it can no longer ask."""

import logging
import os
import re
import threading
import time
from contextlib import suppress
from pathlib import Path

from plimsoll.exporters.nvml.state import GpuState

KMSG = Path("/dev/kmsg")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# A record has at most this many bytes (CONSOLE_EXT_LOG_MAX of kernel/printk/printk.c); each read returns one.
_RECORD_BYTES = 8192
_PAUSE = 0.5  # seconds, where the log is a plain file
_OFF_THE_BUS = 79
_HEAD = re.compile(r"\d+,(\d+),(\d+),[^;]*;(.*)")  # priority, sequence number, microseconds since boot, flags
_XID = re.compile(r"NVRM: Xid \(PCI:([0-9A-Fa-f:.]+)\): (\d+)")
# The driver may log this without an XID (NVIDIA/NVSentinel issue 155).
_FELL = re.compile(r"NVRM: GPU ([0-9A-Fa-f:.]+): GPU has fallen off the bus")
_SXID = re.compile(r"SXid \(PCI:([0-9A-Fa-f:.]+)\): (\d+), (Fatal|Non-fatal)")
_LOG = logging.getLogger(__name__)


class KernelLog:
    """Follows the log on its own thread, from the last error that the state knows."""

    def __init__(self, state: GpuState, path: Path = KMSG, boot_id: Path = BOOT_ID) -> None:
        self._state = state
        self._path = path
        self._boot = ""
        with suppress(OSError):
            self._boot = boot_id.read_text().strip()

    def start(self) -> None:
        """Start following, or log in one line why it can't."""
        try:
            log = os.open(self._path, os.O_RDONLY)
            os.read(log, 0)
        except OSError as error:
            self._state.kernel_log_readable = False
            _LOG.warning(
                "kernel log %s: %s. XIDs 62, 79, 119, 120 and SXids aren't reported. Run as root or with CAP_SYSLOG, in a "
                "container with the device, or give --kernel-log none.",
                self._path,
                error.strerror,
            )
            return
        self._state.kernel_log_readable = True
        threading.Thread(target=self._follow, args=(log,), name="kernel log", daemon=True).start()

    def _follow(self, log: int) -> None:
        rest = b""
        while True:
            try:
                found = os.read(log, _RECORD_BYTES)
            except BrokenPipeError:  # records were overwritten before they were read: the next read continues
                continue
            except OSError as error:
                self._state.kernel_log_readable = False
                _LOG.warning("kernel log %s: %s. Its errors are no longer reported.", self._path, error.strerror)
                return
            if not found:
                time.sleep(_PAUSE)
                continue
            *lines, rest = (rest + found).split(b"\n")
            for line in lines:
                self.take(line.decode(errors="replace"))

    def take(self, line: str) -> None:
        """Count the error of one line, if it has one and wasn't counted before the last restart."""
        head = _HEAD.fullmatch(line)
        if head is None:
            return
        sequence, text = int(head[1]), head[3]
        at = time.time() - time.monotonic() + int(head[2]) / 1e6
        position = self._state.position
        if position is not None and position[0] == self._boot and sequence <= position[1]:
            return
        if match := _XID.search(text):
            self._state.kernel_xid(match[1], int(match[2]), at, "log")
        elif match := _FELL.search(text):
            self._state.kernel_xid(match[1], _OFF_THE_BUS, at, "bus")
        elif match := _SXID.search(text):
            self._state.sxid(match[1], int(match[2]), match[3].lower().replace("-", "_"), at)
        else:
            return
        self._state.position = self._boot, sequence

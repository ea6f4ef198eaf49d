"""The kernel's log without the kernel: a file with records as /dev/kmsg gives them."""

import time
from pathlib import Path

from plimsoll.exporters.nvml.state import GpuState
from plimsoll.exporters.nvml.xids.kernel_log import KernelLog


class FakeKernelLog:
    """One boot's log. Records have the kernel's head: priority, sequence number, microseconds since boot, flags."""

    def __init__(self, folder: Path, boot: str = "boot-1") -> None:
        self.path = folder / "kmsg"
        self.path.touch()
        self.boot_file = folder / "boot_id"
        self.boot_file.write_text(f"{boot}\n")
        self.boot = boot
        self._next = 1

    def line(self, text: str, at: float | None = None) -> str:
        """Return a record's first line; `at` is Unix time."""
        since_boot = time.monotonic() + (0 if at is None else at - time.time())
        sequence, self._next = self._next, self._next + 1
        return f"3,{sequence},{int(since_boot * 1e6)},-;{text}"

    def write(self, text: str, at: float | None = None) -> None:
        """Log a record, with a line of its device as the kernel adds one."""
        with self.path.open("a") as file:
            file.write(f"{self.line(text, at)}\n SUBSYSTEM=pci\n DEVICE=+pci:0000:21:00.0\n")

    def xid(self, place: str, number: int, at: float | None = None) -> None:
        """Log an XID of the device at a PCI address."""
        self.write(f"NVRM: Xid (PCI:{place}): {number}, pid='<unknown>', name=<unknown>, a description", at)

    def reader(self, state: GpuState) -> KernelLog:
        """Return the exporter's reader of this log."""
        return KernelLog(state, self.path, self.boot_file)

    def follow(self, state: GpuState) -> None:
        """Let the exporter's reader follow this log."""
        self.reader(state).start()

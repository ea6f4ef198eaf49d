"""Reads ancestry and listening sockets of processes from /proc.

It covers processes of this PID namespace with readable files: as root on the node, or in a container with `hostPID: true` and
SYS_PTRACE. In a container NVML may report the host's PIDs, which there mean nothing or another process.
"""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
# The kernel's number of the first PID namespace (PROC_PID_INIT_INO of include/linux/proc_ns.h).
_HOST_NAMESPACE = "pid:[4026531836]"
_CAPABILITIES = re.compile(r"^CapEff:\s*([0-9a-f]+)$", re.MULTILINE)
# Bits of include/uapi/linux/capability.h: CAP_DAC_OVERRIDE or CAP_DAC_READ_SEARCH, which root has also in a container, and
# CAP_SYS_PTRACE.
_READ, _TRACE = 1 << 1 | 1 << 2, 1 << 19
_SOCKET = re.compile(r"socket:\[(\d+)\]")
_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")
_LISTENING = "0A"  # TCP_LISTEN of include/net/tcp_states.h
_DEPTH = 64


class Process(NamedTuple):
    """Identifies one process: PIDs are reused, but not within the same clock tick."""

    pid: int
    started: int


class Address(NamedTuple):
    """Where a process listens: an IP address and a port."""

    host: str
    port: int


class Listener(NamedTuple):
    """A process that listens on a port: its PID, its start in clock ticks since boot, and in Unix seconds."""

    pid: float
    ticks: float
    started: float


class ProcessTree:
    """Reads the processes under a folder. Unreadable data is unknown and raises nothing."""

    def __init__(self, folder: Path = PROC) -> None:
        self._folder = folder
        self._trusted = self._link("self", "ns", "pid") == _HOST_NAMESPACE

    def unreadable_because(self) -> str:
        """Return why processes can't be joined with their servers from here, and the fix; empty if they can."""
        if not self._trusted:
            return "this exporter has a PID namespace of its own. Set hostPID: true (Docker: --pid=host)."
        effective = _CAPABILITIES.search(self._text("self", "status"))
        # Without SYS_PTRACE, root lists a process's open files, but can't read which they are.
        held = int(effective[1], 16) if effective else 0
        if not (held & _TRACE and held & _READ):
            return "it can't read other processes' sockets. Run it as root with the capability SYS_PTRACE."
        return ""

    def process(self, pid: int) -> Process | None:
        """Return the process that NVML's PID refers to; None where that is unknown."""
        fields = self._stat(pid)
        if fields is None or not (self._trusted or self.uses_gpu(pid)):
            return None
        return Process(pid, int(fields[19]))

    def lineage(self, pid: int) -> Iterator[int]:
        """Yield the PID and those of its ancestors, without the namespace's first process."""
        for _ in range(_DEPTH):
            fields = self._stat(pid)
            if fields is None or pid <= 1:
                return
            yield pid
            pid = int(fields[1])

    def arguments(self, pid: int) -> list[str]:
        """Return the words of a process's command line; none where it can't be seen."""
        return self._text(str(pid), "cmdline").rstrip("\0").split("\0")

    def listens(self, pid: int, port: int, addresses: frozenset[str]) -> bool:
        """Return whether the process itself listens on that port, on a machine or in a pod with one of the addresses."""
        sockets = {match[1] for link in self._descriptors(pid) if (match := _SOCKET.fullmatch(link))}
        return (
            bool(sockets) and not sockets.isdisjoint(self._listening(str(pid), port)) and self._is_home(pid, addresses)
        )

    def listener(self, port: int, addresses: frozenset[str], last: Listener | None = None) -> Listener | None:
        """Return the oldest process that listens on that port of this machine; None if there is none, or it can't be seen.

        `last` is returned while that process lives: looking through all processes takes some milliseconds.
        """
        if last is not None and (fields := self._stat(int(last.pid))) is not None and int(fields[19]) == last.ticks:
            return last
        own = self._addresses("self")
        if not any(one in own or one.startswith("127.") or one == "::1" for one in addresses):
            return None
        sockets = {f"socket:[{inode}]" for inode in self._listening("self", port)}
        found = [one for pid in self.pids() if sockets and (one := self._holder(pid, sockets)) is not None]
        return min(found, key=lambda one: one.ticks, default=None)

    def _holder(self, pid: int, sockets: set[str]) -> Listener | None:
        if sockets.isdisjoint(self._descriptors(pid)):
            return None
        fields, booted = self._stat(pid), re.search(r"^btime (\d+)$", self._text("stat"), re.MULTILINE)
        if fields is None or booted is None:
            return None
        ticks = int(fields[19])
        return Listener(pid, ticks, int(booted[1]) + ticks / os.sysconf("SC_CLK_TCK"))

    def pids(self) -> Iterator[int]:
        """Yield the PIDs of all processes."""
        with suppress(OSError):
            yield from (int(path.name) for path in self._folder.iterdir() if path.name.isdigit())

    def _is_home(self, pid: int, addresses: frozenset[str]) -> bool:
        if self._link(str(pid), "ns", "net") == self._link("self", "ns", "net"):
            own = self._addresses("self")
            return any(address in own or address.startswith("127.") or address == "::1" for address in addresses)
        return not addresses.isdisjoint({one for one in self._addresses(str(pid)) if not one.startswith("127.")})

    def _addresses(self, process: str) -> frozenset[str]:
        return frozenset(_LOCAL.findall(self._text(process, "net", "fib_trie")))

    def _listening(self, process: str, port: int) -> Iterator[str]:
        for table in ("tcp", "tcp6"):
            for line in self._text(process, "net", table).splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]

    def command(self, pid: int) -> str:
        """Return a process's command line, its parts separated by spaces; empty where it can't be read."""
        return " ".join(self.arguments(pid)).strip()

    def listening(self, pid: int) -> Iterator[Address]:
        """Yield where the process itself listens, in this network namespace."""
        sockets = {match[1] for link in self._descriptors(pid) if (match := _SOCKET.fullmatch(link))}
        for table in ("tcp", "tcp6") if sockets else ():
            for line in self._text("self", "net", table).splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and fields[9] in sockets:
                    yield _address(fields[1])

    def uses_gpu(self, pid: int) -> bool:
        """Return whether a process has a GPU's device open."""
        return any(link.startswith(("/dev/nvidia", "/dev/kfd")) for link in self._descriptors(pid))

    def _descriptors(self, pid: int) -> Iterator[str]:
        with suppress(OSError):
            for path in (self._folder / str(pid) / "fd").iterdir():
                yield self._link(str(pid), "fd", path.name)

    def _stat(self, pid: int) -> list[str] | None:
        """Return the fields of /proc/PID/stat from the third on (state, parent, ...). The second may contain anything."""
        fields = self._text(str(pid), "stat").rpartition(")")[2].split()
        return fields if len(fields) > 19 else None

    def _text(self, *parts: str) -> str:
        with suppress(OSError):
            return self._folder.joinpath(*parts).read_text(errors="replace")
        return ""

    def _link(self, *parts: str) -> str:
        with suppress(OSError):
            return str(self._folder.joinpath(*parts).readlink())
        return ""


def _address(text: str) -> Address:
    """Read an address of /proc/net/tcp: 32-bit words in the machine's byte order, and the port, both in hexadecimal."""
    host, _, port = text.partition(":")
    words = (int(host[i : i + 8], 16).to_bytes(4, sys.byteorder) for i in range(0, len(host), 8))
    found = ip_address(b"".join(words))
    mapped = getattr(found, "ipv4_mapped", None)
    return Address(str(mapped or found), int(port, 16))

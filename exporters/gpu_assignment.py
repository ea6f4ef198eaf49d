"""Assigns GPUs and their memory to engines: joins NVML's processes with the engines' servers.

An engine's server listens on its port, and its workers descend from it: vLLM's API server starts the engine core, which starts
one worker per GPU of a tensor-parallel group. A process on a GPU therefore belongs to the engine whose port the process or an
ancestor listens on. Not detected: workers started by another program (Ray, a launcher that starts server and workers as
siblings), engines behind a proxy or a published port, and processes hidden from /proc.
"""

import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from plimsoll.exporters.collector import Point
from plimsoll.exporters.process_tree import Process, ProcessTree
from plimsoll.slo import metrics as c

# Seconds until an unassigned process is checked again: an engine may load its weights before it listens.
RECHECK_SECONDS = 15.0


class Server(NamedTuple):
    """An engine's server. `kv_bytes` is the KV cache reservation of each worker, None where the engine doesn't report it."""

    replica: str
    model: str
    host: str
    port: int
    kv_bytes: float | None


class GpuProcess(NamedTuple):
    """A process on a GPU, and its memory there in bytes (None: not reported)."""

    pid: int
    memory: float | None


class Served(Protocol):
    """Provides a server: an engine's collector."""

    @property
    def server(self) -> Server:
        """The server, with what is known of it now."""


@dataclass(slots=True)
class GpuAssignment:
    """Finds each GPU's engines. It reads `servers` at each call, because their models are known only after a scrape."""

    servers: Sequence[Served]
    tree: ProcessTree = field(default_factory=ProcessTree)
    _owners: dict[Process, tuple[str | None, float]] = field(default_factory=dict)
    _last: dict[str, list[Point]] = field(default_factory=dict)

    def gpu(
        self, uuid: str, processes: Sequence[GpuProcess], used: float | None, reserved: float | None
    ) -> list[Point]:
        """Return the points of a GPU that responded: its engines, and its memory by component (bytes)."""
        servers = [one.server for one in self.servers]
        owners = [self._owner(process.pid, servers) for process in processes]
        known = {server.replica: server for server in servers}
        self._last[uuid] = [
            Point(c.GPU_ASSIGNMENT, {"uuid": uuid, "replica": replica, "model": known[replica].model}, 1)
            for replica in sorted({owner for owner in owners if owner is not None})
        ]
        usage = _memory_usage(list(zip(owners, processes, strict=True)), known, used, reserved)
        return [
            *self._last[uuid],
            Point(c.GPU_PROCESSES_UNASSIGNED, {"uuid": uuid}, owners.count(None)),
            *(Point(c.GPU_MEMORY_USAGE, {"uuid": uuid, **labels}, value) for labels, value in usage),
        ]

    def lost(self, uuid: str) -> list[Point]:
        """Return the last known engines of a GPU that doesn't respond: they are affected."""
        return self._last.get(uuid, [])

    def forget(self, uuids: Iterable[str]) -> None:
        """Drop the state of other GPUs than these, and of ended processes."""
        present = set(uuids)
        self._last = {uuid: points for uuid, points in self._last.items() if uuid in present}
        now = time.monotonic()
        self._owners = {one: seen for one, seen in self._owners.items() if now - seen[1] < 10 * RECHECK_SECONDS}

    def _owner(self, pid: int, servers: Sequence[Server]) -> str | None:
        process = self.tree.process(pid)
        if process is None:
            return None
        owner, since = self._owners.get(process, (None, 0.0))
        now = time.monotonic()
        if since == 0.0 or (owner is None and now - since > RECHECK_SECONDS):
            owner, since = self._find(pid, servers), now
        self._owners[process] = owner, now if owner else since
        return owner

    def _find(self, pid: int, servers: Sequence[Server]) -> str | None:
        for ancestor in self.tree.lineage(pid):
            found = [one.replica for one in servers if self.tree.listens(ancestor, one.port, resolve(one.host))]
            if found:
                return found[0] if len(found) == 1 else None  # two replicas with one server: the owner is ambiguous
        return None


def _memory_usage(
    processes: Sequence[tuple[str | None, GpuProcess]],
    servers: dict[str, Server],
    used: float | None,
    reserved: float | None,
) -> Iterator[tuple[dict[str, str], float]]:
    """Split a GPU's memory into disjoint components; only the driver's where the memory of a process isn't reported."""
    if reserved is not None:
        yield {"component": "driver"}, reserved
    sizes = [process.memory for _, process in processes if process.memory is not None]
    if len(sizes) < len(processes):
        return
    for replica in sorted({owner for owner, _ in processes if owner is not None}):
        own = [process.memory or 0.0 for owner, process in processes if owner == replica]
        total, kv = sum(own), servers[replica].kv_bytes
        if kv is not None and len(own) == 1 and kv <= total:
            yield {"component": "kv_cache", "replica": replica}, kv
            yield {"component": "weights", "replica": replica}, total - kv
        else:
            yield {"component": "engine", "replica": replica}, total
    yield {"component": "other"}, sum(process.memory or 0.0 for owner, process in processes if owner is None)
    if used is not None and used >= sum(sizes):
        yield {"component": "unattributed"}, used - sum(sizes)


def resolve(host: str) -> frozenset[str]:
    """Return a host's addresses; none where its name isn't known."""
    with suppress(OSError):
        return frozenset(str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    return frozenset()

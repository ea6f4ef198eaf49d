"""Which engine runs on which GPU, and what its memory is held for: NVML's processes joined to the engines' servers.

An engine's server is the process that listens on its port, and its workers descend from it: vLLM's API server starts the engine
core, which starts one worker per GPU of a tensor-parallel group. So a process on a GPU belongs to the engine whose port the
process, or one that it descends from, listens on. Not seen: workers that another program starts (Ray, a launcher that starts
server and workers side by side), engines behind a proxy or a published port, and processes that /proc does not show us.
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

# A process of no engine is looked at again after so many seconds: an engine may load its weights before it listens.
RECHECK_SECONDS = 15.0


class Server(NamedTuple):
    """An engine's server; `kv_bytes` is what each worker reserves for its KV cache, where the engine tells."""

    replica: str
    model: str
    host: str
    port: int
    kv_bytes: float | None


class GpuProcess(NamedTuple):
    """A process on a GPU, and its memory there in bytes (None: not told)."""

    pid: int
    memory: float | None


class Served(Protocol):
    """Who has a server to tell of: an engine's collector."""

    @property
    def server(self) -> Server:
        """The server, by what is known of it now."""


@dataclass(slots=True)
class GpuAssignment:
    """Finds each GPU's engines. `servers` is asked again at each call: their models become known with their pages."""

    servers: Sequence[Served]
    tree: ProcessTree = field(default_factory=ProcessTree)
    _owners: dict[Process, tuple[str | None, float]] = field(default_factory=dict)
    _last: dict[str, list[Point]] = field(default_factory=dict)

    def gpu(
        self, uuid: str, processes: Sequence[GpuProcess], used: float | None, reserved: float | None
    ) -> list[Point]:
        """Points of a GPU that answered: its engines, and its memory by holder (bytes)."""
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
        """The engines of a GPU that does not answer, as it last told: theirs is the trouble."""
        return self._last.get(uuid, [])

    def forget(self, uuids: Iterable[str]) -> None:
        """Keep nothing of other GPUs than these, nor of processes that are gone."""
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
            found = [one.replica for one in servers if self.tree.listens(ancestor, one.port, _resolve(one.host))]
            if found:
                return found[0] if len(found) == 1 else None  # one server under two names: whose it is, nobody can tell
        return None


def _memory_usage(
    processes: Sequence[tuple[str | None, GpuProcess]],
    servers: dict[str, Server],
    used: float | None,
    reserved: float | None,
) -> Iterator[tuple[dict[str, str], float]]:
    """Split a GPU's memory into parts that do not overlap; nothing but the driver's where a process's share is not told."""
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


def _resolve(host: str) -> frozenset[str]:
    with suppress(OSError):
        return frozenset(str(info[4][0]) for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM))
    return frozenset()

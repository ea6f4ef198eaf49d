"""Assigns GPUs and their memory to engines: joins NVML's processes with the engines' servers.

An engine's server listens on its port, and its workers descend from it: vLLM's API server starts the engine core, which starts
one worker per GPU of a tensor-parallel group. A process on a GPU therefore belongs to the engine whose port the process or an
ancestor listens on. Not detected: workers started by another program (Ray, a launcher that starts server and workers as
siblings), engines behind a proxy or a published port, and processes hidden from /proc.
"""

import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple, Protocol

from plimsoll.exporters.collector import Point
from plimsoll.exporters.kubernetes.identity import PodIdentity
from plimsoll.exporters.kubernetes.pods import Pods
from plimsoll.exporters.process_tree import Process, ProcessTree
from plimsoll.slo import metrics as c
from plimsoll.slo.hosts import encoded

# Seconds until an unassigned process is checked again: an engine may load its weights before it listens.
RECHECK_SECONDS = 15.0
_POD = ("namespace", "pod", "container")
# Slices of a MIG instance in its name, as in `MIG 3g.40gb` or `MIG 1c.3g.40gb` (one of its three compute slices). A GPU has 7
# compute slices, an A30 4.
_SLICES = re.compile(r"MIG (?:(\d+)c\.)?(\d+)g\.")


class Server(NamedTuple):
    """An engine's server. `kv_bytes` is the KV cache reservation of each worker, None where the engine doesn't report it; `labels` are
    those of its pod.
    """

    replica: str
    model: str
    host: str
    port: int
    kv_bytes: float | None
    labels: Mapping[str, str] = MappingProxyType({})


class GpuProcess(NamedTuple):
    """A process on a GPU: its memory there in bytes, MIG's GPU instance, its SM time in percent (None: not reported)."""

    pid: int
    memory: float | None
    instance: int | None = None
    sm: float | None = None


class MigInstance(NamedTuple):
    """A MIG instance: its UUID, and the part of the GPU's slices that it has (None: unknown)."""

    uuid: str
    share: float | None


class Served(Protocol):
    """Provides a server: an engine's collector."""

    @property
    def server(self) -> Server:
        """The server, with what is known of it now."""


@dataclass(slots=True)
class GpuAssignment:
    """Finds each GPU's engines. It reads `servers`, and the `others` that come and go, at each call, because their models are known only
    after a scrape."""

    servers: Sequence[Served]
    tree: ProcessTree = field(default_factory=ProcessTree)
    pods: Pods = field(default_factory=Pods)
    others: Callable[[], Sequence[Served]] = tuple
    _owners: dict[Process, tuple[str | None, float]] = field(default_factory=dict)
    _last: dict[str, list[Point]] = field(default_factory=dict)

    def gpu(self, info: Mapping[str, str], processes: Sequence[GpuProcess], points: Sequence[Point]) -> list[Point]:
        """Return further points of a GPU that responded: its engines and pods, and its memory by component (bytes).

        `info` has the labels of its gpu_info, `points` its own values.
        """
        uuid, servers = info["uuid"], [one.server for one in (*self.servers, *self.others())]
        known = {server.replica: server for server in servers}
        owned = [(self._owner(process.pid, servers), process) for process in processes]
        instances = _mig_instances(points)
        replicas = {
            owner: {"uuid": uuid, "replica": owner, "model": known[owner].model, **known[owner].labels}
            for owner in sorted({owner for owner, _ in owned if owner is not None})
        }
        on_instance = sorted(
            {(instances[one.instance].uuid, owner) for owner, one in owned if owner and one.instance in instances}
        )
        self._last[uuid] = [
            *(Point(c.GPU_ASSIGNMENT, labels, 1) for labels in replicas.values()),
            *(Point(c.GPU_MIG_ASSIGNMENT, {**replicas[owner], "mig_uuid": mig}, 1) for mig, owner in on_instance),
            *self.pods.points(info, [one.uuid for one in instances.values()], processes, instances),
        ]
        shares = shares_of(owned, instances)
        usage = _memory_usage(owned, known, *_memory(points))
        return [
            *self._last[uuid],
            *(Point(c.GPU_ASSIGNMENT_SHARE, replicas[owner], share) for owner, share in shares.items()),
            Point(c.GPU_PROCESSES_UNASSIGNED, {"uuid": uuid}, sum(owner is None for owner, _ in owned)),
            *(Point(c.GPU_MEMORY_USAGE, {"uuid": uuid, **labels}, value) for labels, value in usage),
        ]

    def unjoined_because(self) -> str:
        """Return why GPUs can't be joined to replicas from here, and the fix; empty if they can."""
        return self.tree.unreadable_because()

    def lost(self, info: Mapping[str, str]) -> list[Point]:
        """Return the last known engines and pods of a GPU that doesn't respond: they are affected."""
        return self._last.get(info["uuid"]) or self.pods.points(info, [], [], {})

    def replica_pods(self) -> Iterator[Point]:
        """Yield the pod of each replica whose GPUs are one container's, where no discovery found the replica in a pod."""
        found: dict[str, set[PodIdentity]] = {}
        for points in self._last.values():
            pods = {PodIdentity(*(one.labels[name] for name in _POD)) for one in points if one.metric is c.GPU_POD}
            for one in points:
                if one.metric is c.GPU_ASSIGNMENT and c.POD_LABELS[0] not in one.labels:
                    found.setdefault(one.labels["replica"], set()).update(pods)
        yield from (pods.pop().info(replica) for replica, pods in sorted(found.items()) if len(pods) == 1)

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


def shares_of(
    owned: Sequence[tuple[str | None, GpuProcess]], instances: Mapping[int | None, MigInstance]
) -> dict[str, float]:
    """Return each replica's part of a GPU's work (0 to 1); without those for which the driver doesn't report it.

    Under MIG it is the replica's slices, if no other process uses its instances. A replica alone on a GPU has all of it.
    Otherwise it is the replica's part of the SM time of all processes.
    """
    replicas = {owner for owner, _ in owned if owner is not None}
    if instances:
        users: dict[int | None, set[str | None]] = {}
        for owner, process in owned:
            users.setdefault(process.instance, set()).add(owner)
        mine = {one: [key for key, owners in users.items() if one in owners] for one in replicas}
        return {
            one: sum(instances[key].share or 0.0 for key in keys)
            for one, keys in mine.items()
            if all(users[key] == {one} and key in instances and instances[key].share is not None for key in keys)
        }
    if len(replicas) == 1 and all(owner is not None for owner, _ in owned):
        return dict.fromkeys(replicas, 1.0)
    times = [(owner, process.sm) for owner, process in owned]
    total = sum(sm for _, sm in times if sm is not None)
    if not total or any(sm is None for _, sm in times):
        return {}
    return {one: sum(sm or 0.0 for owner, sm in times if owner == one) / total for one in sorted(replicas)}


def _mig_instances(points: Iterable[Point]) -> dict[int | None, MigInstance]:
    """Return the MIG instances by the number of their GPU instance."""
    found: dict[int | None, MigInstance] = {}
    for point in points:
        if point.metric is c.GPU_MIG_INFO:
            name = point.labels["name"]
            slices = _SLICES.search(name)
            share = int(slices[1] or slices[2]) / (4 if "A30" in name else 7) if slices else None
            found[int(point.labels["gpu_instance"])] = MigInstance(point.labels["mig_uuid"], share)
    return found


def _memory(points: Iterable[Point]) -> tuple[float | None, float | None]:
    used = reserved = None
    for metric, _, value, _ in points:
        if metric is c.GPU_MEMORY_USED:
            used = value
        elif metric is c.GPU_MEMORY_RESERVED:
            reserved = value
    return used, reserved


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
        return frozenset(str(info[4][0]) for info in socket.getaddrinfo(encoded(host), None, type=socket.SOCK_STREAM))
    return frozenset()

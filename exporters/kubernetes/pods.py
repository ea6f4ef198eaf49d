"""Joins GPUs and MIG instances with the containers that have them, as the kubelet or the processes' cgroups state."""

import logging
import re
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from plimsoll.exporters.collector import Point
from plimsoll.exporters.kubernetes.cgroups import PROC, container_of
from plimsoll.exporters.kubernetes.kubelet import SOCKET, Container, Device, KubeletError, devices
from plimsoll.exporters.log_once import OnceLogger
from plimsoll.slo import metrics as c

REFRESH_SECONDS = 15.0
TIMEOUT_SECONDS = 10.0
_MINOR = re.compile(r"(?:nvidia|gpu-)(\d+)(?:/.*|-mig-.*)?")  # Google's plugin, and DRA: the device's minor number
_REPLICA = re.compile(r"::\d+$")  # of a GPU shared by time slicing
_INFORMATION = Path("/proc/driver/nvidia/gpus")
_DEVICE_MINOR = re.compile(r"Device Minor:\s*(\d+)")


class OnGpu(Protocol):
    """A process on a GPU."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def instance(self) -> int | None:
        """MIG's GPU instance."""


class Instance(Protocol):
    """A MIG instance."""

    @property
    def uuid(self) -> str:
        """Its UUID."""


@dataclass(slots=True)
class Pods:
    """Who has which device. The kubelet is asked on a thread of its own, so that a slow one delays no scrape."""

    path: Path = SOCKET
    proc: Path = PROC
    information: Path = _INFORMATION
    _once: OnceLogger = field(default_factory=lambda: OnceLogger(logging.getLogger(__name__)))
    _devices: dict[str, list[Container]] = field(default_factory=dict)
    _from_kubelet: bool = False
    _asked: float = -REFRESH_SECONDS
    _thread: threading.Thread | None = None
    _containers: dict[int, tuple[float, Container | None]] = field(default_factory=dict)

    def refresh(self) -> None:
        """Ask the kubelet if the last answer is old, without waiting for it."""
        now = time.monotonic()
        if now - self._asked < REFRESH_SECONDS or (self._thread is not None and self._thread.is_alive()):
            return
        self._asked = now
        if self.path.exists():
            self._thread = threading.Thread(target=self.ask, name="kubelet", daemon=True)
            self._thread.start()
        else:
            self._from_kubelet = False

    def ask(self) -> None:
        """Ask the kubelet, and keep what it says. After a failure the last answer holds."""
        self._asked = time.monotonic()
        try:
            found = devices(self.path, TIMEOUT_SECONDS)
        except (OSError, KubeletError, ImportError) as error:
            self._once.failed("pods", f"{self.path}: {error}. GPUs may lack their pods.")
            return
        self._once.recovered("pods")
        self._devices, self._from_kubelet = self._by_key(found), True

    def points(
        self,
        info: Mapping[str, str],
        mig_uuids: Iterable[str],
        processes: Sequence[OnGpu],
        instances: Mapping[int | None, Instance],
    ) -> list[Point]:
        """Return the containers that have a GPU or its MIG instances. `info` has the labels of its gpu_info."""
        self.refresh()
        uuid = info["uuid"]
        if self._from_kubelet:
            keys = {"": [uuid, info.get("pci_bus_id", "").lower()[-12:]], **{mig: [mig] for mig in mig_uuids}}
            held = {(mig, one) for mig, names in keys.items() for name in names for one in self._devices.get(name, ())}
        else:
            held = set()
            for process in processes:
                container = self._container(process.pid)
                if container is not None:
                    mig = instances[process.instance].uuid if process.instance in instances else ""
                    held.add((mig, container))
        return [
            Point(
                c.GPU_POD,
                {"uuid": uuid, "mig_uuid": mig, "namespace": one.namespace, "pod": one.pod, "container": one.name},
                1,
            )
            for mig, one in sorted(held)
        ]

    def _by_key(self, found: Iterable[Device]) -> dict[str, list[Container]]:
        minors = self._minors()
        by_key: dict[str, list[Container]] = {}
        for device in found:
            if "gpu" not in device.resource and "mig" not in device.resource:
                continue  # another kind of device
            key = _REPLICA.sub("", device.id)
            minor = _MINOR.fullmatch(key)
            key = minors.get(minor[1], key) if minor else key
            by_key.setdefault(key.lower()[-12:] if ":" in key else key, []).append(device.container)
        return by_key

    def _minors(self) -> dict[str, str]:
        """Return the PCI address by minor number, which the device's file /dev/nvidiaN has."""
        found = {}
        try:
            for place in self.information.iterdir():
                if match := _DEVICE_MINOR.search((place / "information").read_text(errors="replace")):
                    found[match[1]] = place.name
        except OSError:
            return found
        return found

    def _container(self, pid: int) -> Container | None:
        now = time.monotonic()
        at, container = self._containers.get(pid, (-REFRESH_SECONDS, None))
        if now - at >= REFRESH_SECONDS:
            container = container_of(pid, self.proc)
            self._containers[pid] = now, container
            self._containers = {
                one: seen for one, seen in self._containers.items() if now - seen[0] < 10 * REFRESH_SECONDS
            }
        return container

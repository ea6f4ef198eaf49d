"""State that survives a restart: the GPUs expected on this node, and the errors that were reported."""

import json
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from plimsoll.exporters.collector import Point
from plimsoll.exporters.nvml.inventory import PLACEHOLDER, pci_address
from plimsoll.exporters.nvml.xids.counts import XidCounts
from plimsoll.slo import metrics, strict_json
from plimsoll.slo.metrics.xids import CRITICAL, KERNEL_LOG_ONLY

FILE = "gpus.json"
_LOG = logging.getLogger(__name__)


class StateError(ValueError):
    """The state folder is not usable; the message is one line with the fix."""


class GpuState:
    """Expected GPUs, and counts of XIDs and SXids. Thread-safe. Without a folder the state ends with the process."""

    def __init__(self, folder: Path | None = None) -> None:
        """Raise StateError if the folder cannot be written to."""
        self.folder = folder
        self.kernel_log_readable: bool | None = None  # None: not asked for
        self._path = folder / FILE if folder else None
        self._lock = threading.Lock()
        self._gpus: dict[str, dict[str, str]] = {}  # uuid -> labels of gpu_info
        self._xids = XidCounts()
        self._sxids: dict[
            tuple[str, str, str], list[float]
        ] = {}  # PCI address, SXid, severity -> count, last Unix time
        self._position: list[Any] = []  # of the last error in the kernel's log: boot ID and sequence number
        if self._path:
            self._read(self._path)
            self._write()

    @staticmethod
    def stored(folder: Path) -> dict[str, dict[str, str]]:
        """Return the expected GPUs of another process's state folder; raises StateError, and changes nothing."""
        path = folder / FILE
        try:
            gpus: Any = strict_json.load(path.read_text(encoding="utf-8"))["gpus"]
            return {uuid: _texts(info) for uuid, info in gpus.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StateError(f"{path}: not readable ({error}). Check --state-dir.") from error

    def expect(self, infos: Iterable[Mapping[str, str]]) -> None:
        """Expect these GPUs from now on. A GPU that had the same PCI address before was replaced, and is no longer expected."""
        with self._lock:
            before = dict(self._gpus)
            for info in infos:
                place = pci_address(info["pci_bus_id"])
                moved = [uuid for uuid, old in self._gpus.items() if place and pci_address(old["pci_bus_id"]) == place]
                for uuid in moved:
                    if uuid != info["uuid"]:
                        del self._gpus[uuid]
                        if uuid.startswith(PLACEHOLDER):
                            self._xids.move(uuid, info["uuid"])
                self._gpus[info["uuid"]] = dict(info)
                self._xids.move(_slot(place), info["uuid"])
            if self._gpus != before:
                self._save()

    def forget(self, uuids: Iterable[str]) -> None:
        """No longer expect these GPUs. One that responds is expected again."""
        with self._lock:
            for uuid in uuids:
                if self._gpus.pop(uuid, None) is not None:
                    self._xids.drop(uuid)
                    _LOG.info("GPU %s: forgotten", uuid)
            self._save()

    def xid(self, uuid: str, number: int, at: float) -> None:
        """Count an XID reported by NVML at Unix time `at`."""
        with self._lock:
            self._count(uuid, number, at, "nvml")

    def kernel_xid(self, place: str, number: int, at: float, source: str) -> None:
        """Count an XID that the kernel logged for the device at a PCI address, with or without its function."""
        with self._lock:
            slot = _slot(pci_address(place))
            uuids = [uuid for uuid, info in self._gpus.items() if _slot(pci_address(info["pci_bus_id"])) == slot]
            key = uuids[0] if uuids else slot
            if not self._xids.counted_before(key, number, at):
                self._count(key, number, at, source)

    def sxid(self, place: str, number: int, severity: str, at: float) -> None:
        """Count an SXid that the kernel logged for the NVSwitch at a PCI address."""
        with self._lock:
            entry = self._sxids.setdefault((pci_address(place), str(number), severity), [0, at])
            entry[0], entry[1] = entry[0] + 1, at
            self._save()
        _LOG.warning("NVSwitch %s: SXid %d (%s)", place, number, severity)

    def gpus(self) -> dict[str, dict[str, str]]:
        """Return the gpu_info labels of every expected GPU, by UUID."""
        with self._lock:
            return {uuid: dict(info) for uuid, info in self._gpus.items()}

    @property
    def position(self) -> tuple[str, int] | None:
        """Boot ID and sequence number of the last error read from the kernel's log."""
        return (str(self._position[0]), int(self._position[1])) if self._position else None

    @position.setter
    def position(self, value: tuple[str, int]) -> None:
        with self._lock:
            self._position = list(value)
            self._save()

    def points(self) -> Iterator[Point]:
        """Yield the counts of XIDs and SXids.

        Critical XIDs start at 0, because `increase` needs a sample before the first error; but only those that a source can
        report.
        """
        with self._lock:
            xids = {uuid: self._xids.of(uuid) for uuid in self._gpus}
            sxids = {key: tuple(value) for key, value in self._sxids.items()}
        reportable = CRITICAL if self.kernel_log_readable else CRITICAL - KERNEL_LOG_ONLY
        for uuid, seen in xids.items():
            zeros = frozenset() if uuid.startswith(PLACEHOLDER) else reportable
            for number in sorted(zeros | set(seen)):
                labels = _labels(uuid, number)
                count, last = seen.get(number, (0, None))
                yield Point(metrics.GPU_XID_ERRORS, labels, count)
                if last is not None:
                    yield Point(metrics.GPU_XID_LAST, labels, last)
        for (place, sxid, severity), (times, at) in sxids.items():
            own = {"pci_bus_id": place, "sxid": sxid, "severity": severity}
            yield Point(metrics.SXID_ERRORS, own, times)
            yield Point(metrics.SXID_LAST, own, at)
        if self.kernel_log_readable is not None:
            yield Point(metrics.KERNEL_LOG_READABLE, {}, int(self.kernel_log_readable))

    def _count(self, key: str, number: int, at: float, source: str) -> None:
        if self._xids.add(key, number, at, source):
            self._save()
            _LOG.warning("GPU %s: XID %d", key, number)

    def _read(self, path: Path) -> None:
        try:
            state: Any = strict_json.load(path.read_text(encoding="utf-8"))
            gpus = {uuid: {"pci_bus_id": "", **_texts(info), "uuid": uuid} for uuid, info in state["gpus"].items()}
            self._xids.load(state["xids"])
            self._sxids = {
                (place, sxid, severity): [int(count), float(at)]
                for place, sxid, severity, count, at in state.get("sxids", [])
            }
            position = state.get("kernel_log", [])
            self._position = [str(position[0]), int(position[1])] if position else []
            self._gpus = gpus
        except FileNotFoundError:
            return
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
            aside = path.with_suffix(".broken")
            _LOG.warning("%s: not readable (%s). Moved to %s; counting restarts at 0.", path, error, aside)
            path.replace(aside)
            self._xids, self._sxids = XidCounts(), {}

    def _save(self) -> None:
        try:
            self._write()
        except StateError as error:
            _LOG.warning("%s", error)

    def _write(self) -> None:
        if self._path is None:
            return
        draft = self._path.with_suffix(".draft")
        sxids = [[*key, *value] for key, value in self._sxids.items()]
        state = {"gpus": self._gpus, "xids": self._xids.dump(), "sxids": sxids, "kernel_log": self._position}
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump(state, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)  # atomic: a reader sees the old file or the new one
        except OSError as error:
            raise StateError(
                f"{self._path}: not writable ({error.strerror}). Give --state-dir a writable folder."
            ) from error


def _texts(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the labels of a GPU; raises ValueError if one isn't a text."""
    if not all(isinstance(value, str) for value in info.values()):
        raise ValueError("a label isn't a text")
    return dict(info)


@lru_cache(maxsize=4096)
def _labels(uuid: str, number: int) -> Mapping[str, str]:
    """Return the same object at every scrape, so that the renderer reuses its line."""
    return {"uuid": uuid, "xid": str(number)}


def _slot(place: str) -> str:
    """Return a PCI address without its function: the kernel's log names a device by either."""
    return place.partition(".")[0][-10:]

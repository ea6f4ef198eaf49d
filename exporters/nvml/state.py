"""State that survives a restart: the GPUs expected on this node, and the XIDs that they reported."""

import json
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from plimsoll.exporters.collector import Point
from plimsoll.slo import metrics, strict_json
from plimsoll.slo.metrics.xids import CRITICAL

FILE = "gpus.json"
PLACEHOLDER = "unknown@"  # prefix of a PCI address that stands for an unknown UUID
_LOG = logging.getLogger(__name__)


class StateError(ValueError):
    """The state folder is not usable; the message is one line with the fix."""


class GpuState:
    """Expected GPUs and XID counts. Thread-safe. Without a folder the state ends with the process."""

    def __init__(self, folder: Path | None = None) -> None:
        """Raise StateError if the folder cannot be written to."""
        self._path = folder / FILE if folder else None
        self._lock = threading.Lock()
        self._gpus: dict[str, dict[str, str]] = {}  # uuid -> labels of gpu_info
        self._xids: dict[str, dict[str, list[float]]] = {}  # uuid -> XID -> count, Unix time of the last
        if self._path:
            self._read(self._path)
            self._write()

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
                self._gpus[info["uuid"]] = dict(info)
            if self._gpus != before:
                self._save()

    def xid(self, uuid: str, number: int, at: float) -> None:
        """Count an XID reported at Unix time `at`."""
        with self._lock:
            entry = self._xids.setdefault(uuid, {}).setdefault(str(number), [0, at])
            entry[0], entry[1] = entry[0] + 1, at
            self._save()
        _LOG.warning("GPU %s: XID %d", uuid, number)

    def gpus(self) -> dict[str, dict[str, str]]:
        """Return the gpu_info labels of every expected GPU, by UUID."""
        with self._lock:
            return {uuid: dict(info) for uuid, info in self._gpus.items()}

    def points(self) -> Iterator[Point]:
        """Yield the XID counts. Critical XIDs start at 0, because `increase` needs a sample before the first error."""
        with self._lock:
            xids = {uuid: dict(self._xids.get(uuid, {})) for uuid in self._gpus if not uuid.startswith(PLACEHOLDER)}
        for uuid, seen in xids.items():
            for number in sorted(CRITICAL | set(map(int, seen))):
                labels = _labels(uuid, number)
                count, last = seen.get(str(number), (0, None))
                yield Point(metrics.GPU_XID_ERRORS, labels, count)
                if last is not None:
                    yield Point(metrics.GPU_XID_LAST, labels, last)

    def _read(self, path: Path) -> None:
        try:
            state: Any = strict_json.load(path.read_text(encoding="utf-8"))
            gpus = {uuid: {"pci_bus_id": "", **_texts(info), "uuid": uuid} for uuid, info in state["gpus"].items()}
            xids = {
                uuid: {str(int(xid)): [max(0, int(count)), float(at)] for xid, (count, at) in seen.items()}
                for uuid, seen in state["xids"].items()
            }
            self._gpus, self._xids = gpus, xids
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            aside = path.with_suffix(".broken")
            _LOG.warning("%s: not readable (%s). Moved to %s; counting restarts at 0.", path, error, aside)
            path.replace(aside)

    def _save(self) -> None:
        try:
            self._write()
        except StateError as error:
            _LOG.warning("%s", error)

    def _write(self) -> None:
        if self._path is None:
            return
        draft = self._path.with_suffix(".draft")
        try:
            with draft.open("w", encoding="utf-8") as file:
                json.dump({"gpus": self._gpus, "xids": self._xids}, file, indent=1)
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


def pci_address(bus_id: str) -> str:
    """Normalize NVML's 00000000:21:00.0 and the kernel's 0000:21:00.0 to one form."""
    return bus_id.lower()[-12:]


# One folder per GPU, named by its PCI address. A container sees its own GPUs only.
FOLDER = Path("/proc/driver/nvidia/gpus")
_UUID = re.compile(r"GPU UUID:\s*(GPU-[0-9a-f-]{36})\s*$", re.MULTILINE)  # question marks until a process opens the GPU
_MODEL = re.compile(r"Model:\s*(.+?)\s*$", re.MULTILINE)


def unknown_gpus(folder: Path, known: set[str]) -> Iterator[dict[str, str]]:
    """Yield gpu_info labels of the GPUs in `folder` whose PCI address (see pci_address) isn't in `known`; raises OSError.

    NVML has no UUID of a GPU that hung before the exporter started. Where the kernel has none either, the PCI address
    replaces it.
    """
    for place in sorted(folder.iterdir()):
        if pci_address(place.name) in known:
            continue
        information = (place / "information").read_text(errors="replace")
        uuid, model = _UUID.search(information), _MODEL.search(information)
        yield {
            "uuid": uuid[1] if uuid else PLACEHOLDER + place.name,
            "name": model[1] if model else "",
            "pci_bus_id": place.name,
        }

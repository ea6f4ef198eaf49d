"""Metrics that a GPU once had and lost: where nvidia-smi shows ERR!, a sensor or a call no longer answers."""

from collections.abc import Iterable
from pathlib import Path

from plimsoll.exporters.state_file import StateFile
from plimsoll.slo import metrics

# These come and go with the configuration and the load.
_VOLATILE = frozenset(
    {
        *(metrics.GPU_MIG_INFO, metrics.GPU_MIG_MEMORY_TOTAL, metrics.GPU_MIG_MEMORY_USED),
        *(metrics.GPU_MIG_GRAPHICS_ACTIVE, metrics.GPU_MIG_SM_ACTIVE, metrics.GPU_MIG_SM_OCCUPANCY),
        *(metrics.GPU_MIG_TENSOR_ACTIVE, metrics.GPU_MIG_DRAM_BANDWIDTH, metrics.GPU_PROCESS_MEMORY),
        *(metrics.GPU_SM_ACTIVE, metrics.GPU_SM_OCCUPANCY, metrics.GPU_TENSOR_ACTIVE, metrics.GPU_DRAM_BANDWIDTH),
        *(metrics.GPU_GRAPHICS_ACTIVE, metrics.GPU_SM_CYCLES, metrics.GPU_SM_ACTIVE_CYCLES),
        *(metrics.GPU_TENSOR_ACTIVE_CYCLES, metrics.GPU_BUSY_MEAN, metrics.GPU_MEMORY_BUSY_MEAN),
        *(metrics.GPU_NVLINK_ERRORS, metrics.GPU_FABRIC_STATUS, metrics.GPU_FABRIC_INFO, metrics.GPU_FABRIC_FAULT),
        *(metrics.GPU_INFOROM_CORRUPTED, metrics.GPU_MEMORY_UNIFIED, metrics.GPU_BUSY, metrics.GPU_MEMORY_BUSY),
    }
)
STEADY = frozenset(metric.name for metric in metrics.ALL if metric not in _VOLATILE)


class Families:
    """The metrics that each GPU had, retained across restarts with a state folder. Another driver starts afresh."""

    def __init__(self, folder: Path | None) -> None:
        self._file = StateFile(folder, "gpu-metrics")
        self._had: dict[str, tuple[str, frozenset[str]]] = {}  # uuid -> driver version, names
        self._missing: dict[str, tuple[object, tuple[str, ...]]] = {}
        stored = self._file.read()
        if isinstance(stored, dict):
            self._had = {
                uuid: (str(entry[0]), frozenset(map(str, entry[1])))
                for uuid, entry in stored.items()
                if isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], list)
            }

    def missing(self, info: dict[str, str], present: frozenset[str]) -> tuple[str, ...]:
        """Return the metrics that this GPU lacks now and had before. The same object `present` costs nothing."""
        uuid = info["uuid"]
        last = self._missing.get(uuid)
        if last is not None and last[0] is present:
            return last[1]
        names = present & STEADY
        version, had = self._had.get(uuid, ("", frozenset()))
        if version != info.get("driver_version", ""):
            had = frozenset()
        if not names <= had or not had:
            self._had[uuid] = info.get("driver_version", ""), had | names
            self._store()
        found = tuple(sorted(had - names))
        self._missing[uuid] = present, found
        return found

    def forget(self, uuids: Iterable[str]) -> None:
        """Forget what these GPUs had."""
        for uuid in uuids:
            self._had.pop(uuid, None)
            self._missing.pop(uuid, None)
        self._store()

    def _store(self) -> None:
        self._file.write({uuid: [version, sorted(names)] for uuid, (version, names) in self._had.items()})

"""The health verdict of each GPU and of the node, for schedulers: ok, degraded, or replace, with reason codes.

`replace` means: schedule nothing here until the GPU was reset, repaired or replaced. A GPU that can't be asked has no verdict.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from plimsoll.exporters.collector import Point
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric
from plimsoll.slo.metrics.xids import XIDS

OK, DEGRADED, REPLACE = 0, 1, 2
NAMES = ("ok", "degraded", "replace")
UNKNOWN = "unknown"
XID_SECONDS = 3600.0  # for how long an XID counts
_FABRIC_COMPLETED, _FABRIC_UNHEALTHY, _FABRIC_LIMITED = 3, 2, 3


class Rule(NamedTuple):
    """A reason: its code, the verdict, and the values of its metric between which it applies."""

    code: str
    verdict: int
    low: float
    high: float = float("inf")


_RULES: dict[Metric, tuple[Rule, ...]] = {
    c.GPU_UP: (Rule("not_responding", REPLACE, 0, 0),),
    c.GPU_RECOVERY_ACTION: (Rule("recovery_required", REPLACE, 1),),
    c.GPU_REMAP_FAILED: (Rule("row_remap_failed", REPLACE, 1),),
    c.GPU_SRAM_THRESHOLD_EXCEEDED: (Rule("sram_threshold_exceeded", REPLACE, 1),),
    c.GPU_MEMORY_UNREPAIRABLE: (Rule("memory_unrepairable", REPLACE, 1),),
    c.GPU_FABRIC_STATE: (Rule("fabric_not_ready", REPLACE, 1, _FABRIC_COMPLETED - 1),),
    c.GPU_FABRIC_STATUS: (Rule("fabric_failed", REPLACE, 1),),
    c.GPU_FABRIC_HEALTH: (
        Rule("fabric_unhealthy", REPLACE, _FABRIC_UNHEALTHY, _FABRIC_UNHEALTHY),
        Rule("fabric_limited", DEGRADED, _FABRIC_LIMITED, _FABRIC_LIMITED),
    ),
    c.GPU_FABRIC_FAULT: (Rule("fabric_degraded", DEGRADED, 1),),
    c.GPU_REMAP_PENDING: (Rule("reset_pending", DEGRADED, 1),),
    c.GPU_RETIRED_PENDING: (Rule("reset_pending", DEGRADED, 1),),
    c.GPU_REPAIR_PENDING: (Rule("reset_pending", DEGRADED, 1),),
    c.GPU_INFOROM_CORRUPTED: (Rule("inforom_corrupted", DEGRADED, 1),),
    c.GPU_METRIC_MISSING: (Rule("metric_missing", DEGRADED, 1),),
}


# Looked up for every point of a scrape. A metric's hash takes longer than its name's, which Python stores.
_BY_NAME = {metric.name: rules for metric, rules in _RULES.items()}
_OTHERS = {one.name for one in (c.GPU_XID_LAST, c.GPU_NOT_READABLE, c.GPU_PCIE_WIDTH, c.GPU_PCIE_WIDTH_MAX)}
_READ = _BY_NAME.keys() | _OTHERS


class Verdict(NamedTuple):
    """A GPU's verdict (None: unknown) and its reason codes, worst first."""

    verdict: int | None
    reasons: tuple[str, ...]


def verdicts(points: Iterable[Point], now: float) -> dict[str, Verdict]:
    """Return the verdict of each GPU in the points; `now` is Unix time."""
    found: dict[str, dict[str, int]] = {}
    unknown: dict[str, str] = {}
    lanes: dict[str, dict[Metric, float]] = {}
    for metric, labels, value, _ in (point for point in points if point.metric.name in _READ):
        if rules := _BY_NAME.get(metric.name):
            own = found.setdefault(labels["uuid"], {})
            own.update({rule.code: rule.verdict for rule in rules if rule.low <= value <= rule.high})
        elif metric is c.GPU_XID_LAST and now - value < XID_SECONDS:
            xid = XIDS.get(int(labels["xid"]))
            if xid is not None and xid.severity != "info":
                own = found.setdefault(labels["uuid"], {})
                own[f"xid_{xid.number}"] = REPLACE if xid.severity == "page" else DEGRADED
        elif metric is c.GPU_NOT_READABLE:
            unknown[labels["uuid"]] = labels["reason"]
        elif metric is c.GPU_PCIE_WIDTH or metric is c.GPU_PCIE_WIDTH_MAX:
            lanes.setdefault(labels["uuid"], {})[metric] = value
    for uuid, width in lanes.items():
        if len(width) == 2 and width[c.GPU_PCIE_WIDTH] < width[c.GPU_PCIE_WIDTH_MAX]:
            found.setdefault(uuid, {})["pcie_width"] = DEGRADED
    return {uuid: _verdict(found.get(uuid, {}), unknown.get(uuid)) for uuid in found.keys() | unknown.keys()}


def _verdict(reasons: dict[str, int], unreadable: str | None) -> Verdict:
    codes = tuple(sorted(reasons, key=lambda code: (-reasons[code], code)))
    worst = max(reasons.values(), default=OK)
    if unreadable is not None and worst < REPLACE:
        return Verdict(None, (unreadable, *codes))
    return Verdict(worst, codes)


class HealthBoard:
    """The last verdicts of all GPUs, for the exporter's health page. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[str, tuple[float, dict[str, Verdict], dict[str, dict[str, str]]]] = {}

    def update(self, points: list[Point], source: str, infos: dict[str, dict[str, str]]) -> list[Point]:
        """Evaluate one collector's points; returns the points of the verdicts."""
        found = verdicts(points, time.time())
        with self._lock:
            self._found[source] = time.monotonic(), found, infos
        added = []
        for uuid, (verdict, reasons) in found.items():
            if verdict is not None:
                added.append(Point(c.GPU_HEALTH_VERDICT, {"uuid": uuid}, verdict))
            added += [Point(c.GPU_HEALTH_REASON, {"uuid": uuid, "reason": reason}, 1) for reason in reasons]
        return added

    def node(self, source: str) -> list[Point]:
        """Return the node's verdict, once a node: to its first collector. Nothing while the verdict is unknown."""
        worst = self._worst()
        return [] if worst is None or source != next(iter(self._found)) else [Point(c.NODE_HEALTH_VERDICT, {}, worst)]

    def age(self) -> float:
        """Return the age of the oldest collector's verdicts in seconds; infinite before the first."""
        with self._lock:
            times = [at for at, _, _ in self._found.values()]
        return time.monotonic() - min(times) if times else float("inf")

    def document(self) -> dict[str, Any]:
        """Return the verdicts as JSON: of the node, and of each GPU with its index and reasons."""
        with self._lock:
            rows = [
                {
                    "uuid": uuid,
                    "index": infos.get(uuid, {}).get("index", ""),
                    "pci_bus_id": infos.get(uuid, {}).get("pci_bus_id", ""),
                    "verdict": UNKNOWN if verdict is None else NAMES[verdict],
                    "reasons": list(reasons),
                }
                for _, found, infos in self._found.values()
                for uuid, (verdict, reasons) in sorted(found.items())
            ]
        worst = self._worst()
        reasons = sorted({reason for row in rows for reason in row["reasons"]})
        return {"verdict": UNKNOWN if worst is None else NAMES[worst], "reasons": reasons, "gpus": rows}

    def _worst(self) -> int | None:
        with self._lock:
            known = [one.verdict for _, found, _ in self._found.values() for one in found.values()]
        seen = [verdict for verdict in known if verdict is not None]
        # A node of which one GPU is unknown isn't ok, but it is degraded or worse if another one is.
        worst = max(seen, default=None)
        return None if worst == OK and len(seen) < len(known) else worst

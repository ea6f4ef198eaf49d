"""NVIDIA XID errors, with their meaning for a serving node, as data."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["page", "ticket", "info"]


@dataclass(frozen=True, slots=True)
class Xid:
    """One XID: meaning, severity and action."""

    number: int
    meaning: str
    severity: Severity
    action: str


# TOML, because the exporter reads nothing else in YAML, whose library takes 1 MiB.
_TABLE = tomllib.loads((Path(__file__).parent.parent / "data" / "xids.toml").read_text(encoding="utf-8"))
XIDS: dict[int, Xid] = {
    number: Xid(number, row["meaning"], row["severity"], row["action"])
    for row in _TABLE["xids"]
    for number in row["numbers"]
}
# XIDs that page. Their counters exist from the start, at 0.
CRITICAL = frozenset(number for number, xid in XIDS.items() if xid.severity == "page")
# XIDs that only the kernel's log reports. Without it their counters don't exist: a 0 would state what isn't known.
KERNEL_LOG_ONLY: frozenset[int] = frozenset(_TABLE["kernel_log_only"])

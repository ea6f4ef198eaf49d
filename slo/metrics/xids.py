"""NVIDIA XID errors, with their meaning for a serving node, as data."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from plimsoll.slo import strict_yaml

Severity = Literal["page", "ticket", "info"]


@dataclass(frozen=True, slots=True)
class Xid:
    """One XID: meaning, severity and action."""

    number: int
    meaning: str
    severity: Severity
    action: str


def _load() -> dict[int, Xid]:
    table = strict_yaml.load((files("plimsoll.slo") / "data" / "xids.yaml").read_text(encoding="utf-8"))
    rows = [
        Xid(number, row["meaning"], row["severity"], row["action"])
        for row in table["xids"]
        for number in row["numbers"]
    ]
    return {row.number: row for row in rows}


XIDS: dict[int, Xid] = _load()
# XIDs that page. Their counters exist from the start, at 0.
CRITICAL = frozenset(number for number, xid in XIDS.items() if xid.severity == "page")

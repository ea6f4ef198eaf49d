"""Counts of XIDs that several sources report: NVML's events, and two kinds of lines in the kernel's log."""

from typing import Any

# Seconds within which reports of one XID by different sources are the same error.
MATCH_SECONDS = 5.0


class XidCounts:
    """Count and last Unix time of each XID, by key (a UUID, or a PCI address whose UUID isn't known yet). Not thread-safe."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[int, tuple[int, float]]] = {}
        # Errors of the last seconds: their time, and the sources that reported them.
        self._recent: dict[tuple[str, int], list[tuple[float, set[str]]]] = {}
        self._stored: dict[tuple[str, int], float] = {}  # last time by the state file

    def add(self, key: str, number: int, at: float, source: str) -> bool:
        """Count an XID, unless another source reported the same one; returns whether it was counted."""
        recent = [one for one in self._recent.get((key, number), []) if abs(at - one[0]) <= MATCH_SECONDS]
        self._recent[key, number] = recent
        for _, sources in recent:
            if source not in sources:
                sources.add(source)
                return False
        recent.append((at, {source}))
        count, last = self._counts.setdefault(key, {}).get(number, (0, at))
        self._counts[key][number] = count + 1, max(last, at)
        return True

    def counted_before(self, key: str, number: int, at: float) -> bool:
        """Return whether an XID of that time was counted before the exporter's last start."""
        return at <= self._stored.get((key, number), 0.0)

    def of(self, key: str) -> dict[int, tuple[int, float]]:
        """Return count and last time by XID."""
        return dict(self._counts.get(key, {}))

    def move(self, old: str, new: str) -> None:
        """Add the counts of one key to another one."""
        for number, (count, at) in self._counts.pop(old, {}).items():
            before, last = self._counts.setdefault(new, {}).get(number, (0, at))
            self._counts[new][number] = before + count, max(last, at)

    def drop(self, key: str) -> None:
        """Forget a key."""
        self._counts.pop(key, None)

    def load(self, stored: dict[str, dict[str, list[float]]]) -> None:
        """Take over stored counts; raises ValueError, TypeError or AttributeError for an invalid structure."""
        self._counts = {
            key: {int(xid): (max(0, int(count)), float(at)) for xid, (count, at) in seen.items()}
            for key, seen in stored.items()
        }
        self._stored = {(key, xid): at for key, seen in self._counts.items() for xid, (_, at) in seen.items()}

    def dump(self) -> dict[str, Any]:
        """Return the counts for the state file."""
        return {key: {str(xid): list(value) for xid, value in seen.items()} for key, seen in self._counts.items()}

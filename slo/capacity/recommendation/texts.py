"""Words and numbers that the sentences of a recommendation share."""

MINUTE, HOUR = 60, 3600  # seconds


def span(seconds: float) -> str:
    """Return a time span with its unit: 600 ms, 150 s, 15 min, 2 h."""
    if seconds < 1:
        return f"{seconds * 1000:.4g} ms"
    for size, unit in ((HOUR, "h"), (MINUTE, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def minutes(seconds: float) -> str:
    """Return a time span in whole minutes, at least one."""
    return span(MINUTE * round(max(MINUTE, seconds) / MINUTE))


def nodes(count: int) -> str:
    """Return a number of nodes: 1 node, 2 nodes."""
    return f"{count} node{'s' * (count != 1)}"

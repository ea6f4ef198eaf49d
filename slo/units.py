"""Durations and percentages as the objectives file writes them: `600ms`, `5m`, `28d`, `99.9%`."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

_UNIT_SECONDS = {"ms": "0.001", "s": "1", "m": "60", "h": "3600", "d": "86400", "w": "604800"}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
MAX_SECONDS = 100 * 365 * 86400.0  # a longer duration is a typing error, and overflows dates


def shown(value: object) -> str:
    """Write a value of a user for an error: at most 80 characters of it, on one line."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def printable(text: str) -> str:
    """Make one line of at most 500 characters of a text that may quote what others wrote; no terminal acts on it."""
    line = "".join(one if one.isprintable() else "?" for one in text)
    return line if len(line) <= 500 else f"{line[:497]}..."


class Duration(float):
    """Seconds, read from one number and one unit."""

    @classmethod
    def parse(cls, value: object) -> "Duration":
        """Read `600ms`, `4s`, `5m`, `6h`, `28d` or `4w`; raises ValueError with the fix."""
        match = _DURATION.fullmatch(value) if isinstance(value, str) else None
        if match is None or not 0 < float(match[1]) * float(_UNIT_SECONDS[match[2]]) <= MAX_SECONDS:
            raise ValueError(
                f"{shown(value)} isn't a duration above zero and up to 100 years. Write a number and a unit, such as 600ms, 4s, 5m or 28d."
            )
        return cls(Decimal(match[1]) * Decimal(_UNIT_SECONDS[match[2]]))

    def __str__(self) -> str:
        return duration_text(self)


class Target(float):
    """Ratio of events that must be good, above 0 and below 1."""

    @classmethod
    def parse(cls, value: object) -> "Target":
        """Read `99.9%`; raises ValueError with the fix."""
        try:
            percent = Decimal(value.removesuffix("%")) if isinstance(value, str) and value.endswith("%") else None
        except InvalidOperation:
            percent = None
        if percent is None or not 0 < percent < 100:
            raise ValueError(f"{shown(value)} isn't a percentage above 0% and below 100%. Write one such as 99.9%.")
        return cls(percent / 100)


# Letters of Prometheus' durations (prometheus/common, model.ParseDuration), in seconds.
PROMETHEUS_UNITS = {**{unit: float(seconds) for unit, seconds in _UNIT_SECONDS.items()}, "y": 365 * 86400.0}


def compound(text: str, units: Mapping[str, float]) -> Duration:
    """Read a duration of several parts, such as `1d12h`, by the letters given in seconds; raises ValueError."""
    parts = re.findall(r"(\d+)([A-Za-z]+)", text)
    seconds = sum(float(count) * units.get(unit, 0.0) for count, unit in parts)
    whole = "".join(map("".join, parts)) == text and all(unit in units for _, unit in parts)
    if not whole or not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"{shown(text)} isn't a duration above zero and up to 100 years. Write one such as 1d12h.")
    return Duration(seconds)


def duration_text(seconds: float) -> str:
    """Write seconds in the largest unit that gives a whole number: 604800 -> `7d`, 0.6 -> `600ms`."""
    for unit in ("d", "h", "m", "s"):
        count = seconds / float(_UNIT_SECONDS[unit])
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds * 1000:g}ms"


def percent_text(ratio: float) -> str:
    """Write a ratio as a percentage without float noise: 0.999 -> `99.9%`."""
    return f"{Decimal(repr(float(ratio))) * 100:f}".rstrip("0").rstrip(".") + "%"

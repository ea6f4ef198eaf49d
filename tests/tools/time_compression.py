"""Rules and routes for accelerated time: durations shrink, thresholds don't change.

A pure function over rendered documents. Three parts of a rule depend on time: durations (ranges, offsets, steps, `for`, intervals)
are divided by the speed; `rate` and `deriv`, which are per second of Prometheus' clock, are divided too; moments (`time()`,
`timestamp()`, ALERTS_FOR_STATE) become those of the simulated time.
"""

import re
from collections.abc import Mapping
from typing import Any

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
_DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
_RANGE = re.compile(rf"\[({_DURATION})(?::({_DURATION})?)?\]")
_OFFSET = re.compile(rf"\boffset ({_DURATION})")
_PER_SECOND = re.compile(r"\b(rate|deriv)\(([^()]*)\)")
_MOMENT = re.compile(r"\btime\(\)|\btimestamp\([^()]*\)|\bALERTS_FOR_STATE\{[^{}]*\}")
WAITS = ("group_wait", "group_interval", "repeat_interval", "resolve_timeout")


def seconds(duration: str) -> float:
    """Return the seconds of a Prometheus duration such as 1h30m."""
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)(ms|[smhdwy])", duration))


def shorter(duration: str, speed: float) -> str:
    """Return a duration divided by the speed, in whole milliseconds; raises ValueError below one millisecond."""
    left = round(1000 * seconds(duration) / speed)
    if left < 1 and seconds(duration):
        raise ValueError(f"{duration} at {speed:g} times the speed is less than a millisecond")
    return f"{left}ms"


def query(promql: str, speed: float, begun: float) -> str:
    """Return a query, or a text with queries, for simulated time, which equals real time at `begun` (Unix seconds)."""

    def ranged(match: re.Match[str]) -> str:
        step = f":{shorter(match[2], speed)}" if match[2] else ":" if ":" in match[0] else ""
        return f"[{shorter(match[1], speed)}{step}]"

    text = _RANGE.sub(ranged, promql)
    text = _OFFSET.sub(lambda match: f"offset {shorter(match[1], speed)}", text)
    text = _PER_SECOND.sub(lambda match: f"({match[0]} / {speed:g})", text)
    return _MOMENT.sub(lambda match: f"({begun:.3f} + {speed:g} * ({match[0]} - {begun:.3f}))", text)


def rules(document: Mapping[str, Any], speed: float, begun: float) -> dict[str, Any]:
    """Return a rule file for simulated time."""
    return {"groups": [_group(group, speed, begun) for group in document["groups"]]}


def _group(group: Mapping[str, Any], speed: float, begun: float) -> dict[str, Any]:
    own = [_rule(rule, speed, begun) for rule in group["rules"]]
    return {**group, "interval": shorter(group.get("interval", "1m"), speed), "rules": own}


def _rule(rule: Mapping[str, Any], speed: float, begun: float) -> dict[str, Any]:
    """Rewrite a rule's query and the queries in its texts. Labels are its identity and don't change."""
    texts = {name: query(text, speed, begun) for name, text in rule.get("annotations", {}).items()}
    changed: dict[str, Any] = {**rule, "expr": query(rule["expr"], speed, begun)}
    if "for" in rule:
        changed["for"] = shorter(rule["for"], speed)
    return changed | ({"annotations": texts} if texts else {})


def routes(document: Mapping[str, Any], speed: float) -> dict[str, Any]:
    """Return Alertmanager's configuration with every wait divided."""

    def route(given: Mapping[str, Any]) -> dict[str, Any]:
        waits = {name: shorter(given[name], speed) for name in WAITS if given.get(name)}
        below = {"routes": [route(one) for one in given["routes"]]} if "routes" in given else {}
        return {**given, **waits, **below}

    return {**document, "global": route(document["global"]), "route": route(document["route"])}

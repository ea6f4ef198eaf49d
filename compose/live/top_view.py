"""What `plimsoll top` shows: SLOs and pools of a running service in few figures, the most urgent first, as lines of text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plimsoll.compose.live.service_client import ratio, table
from plimsoll.slo.service.pages.text import format_duration
from plimsoll.slo.units import printable

URGENCY = ("exhausted", "burning", "unknown", "ok")
ACTIONS = ("scale_out", "scale_in", "insufficient_data", "hold")
RED, YELLOW, DIM, BOLD, PLAIN = "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[1m", "\x1b[0m"
COLORS = {
    "exhausted": RED,
    "burning": YELLOW,
    "scale_out": YELLOW,
    "scale_in": YELLOW,
    "unknown": DIM,
    "insufficient_data": DIM,
}
SLO_HEAD = ("SLO", "POOL", "STATUS", "REMAINING", "BURN NOW", "EXHAUSTED IN", "COVERAGE")
POOL_HEAD = ("POOL", "ACTION", "NODES", "RECOMMENDED", "WAITING", "REASON")


def overview(slos: Mapping[str, Any], recommendations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures, from the API's SLOs and the recommendation for each pool; null is unknown."""
    return {
        "at": slos["at"],
        "simulated": any(one["simulated"] for one in (*slos["slos"], *recommendations)),
        "slos": sorted(map(_slo, slos["slos"]), key=lambda one: (not one["firing"], URGENCY.index(one["status"]))),
        "pools": sorted(map(_pool, recommendations), key=lambda one: ACTIONS.index(one["action"])),
    }


def _slo(one: Mapping[str, Any]) -> dict[str, Any]:
    now = min(one["burn_rates"], key=lambda rate: rate["short_window_seconds"], default=None)
    return {name: one[name] for name in ("id", "pool", "status", "budget_remaining", "coverage")} | {
        "burn_rate": now and now["short_burn_rate"],
        "firing": any(rate["firing"] for rate in one["burn_rates"]),
        "seconds_to_exhaustion": one["exhaustion"]["seconds_to_exhaustion"],
    }


def _pool(one: Mapping[str, Any]) -> dict[str, Any]:
    waiting = one["evidence"].get("waiting_requests")
    return {name: one[name] for name in ("pool", "action", "current_nodes", "recommended_nodes")} | {
        "waiting_requests": None if waiting is None else sum(waiting.values()),
        "reason": one["reasons"][0] if one["reasons"] else "",
    }


def lines(found: Mapping[str, Any], title: str, width: int, color: bool) -> Iterator[str]:
    """Yield the lines of the screen, none wider than `width` characters; with `color`, escape sequences of a terminal."""
    label = " · SIMULATED" if found["simulated"] else ""
    yield _colored(f"plimsoll top · {title} · {found['at']}{label}", BOLD, width, color)
    yield ""
    slos = [
        (
            one["id"],
            one["pool"],
            one["status"] + (" (alert)" if one["firing"] else ""),
            ratio(one["budget_remaining"]),
            "no data" if one["burn_rate"] is None else f"{one['burn_rate']:.1f}",
            "-" if one["seconds_to_exhaustion"] is None else format_duration(one["seconds_to_exhaustion"]),
            ratio(one["coverage"]),
        )
        for one in found["slos"]
    ]
    yield from _table(SLO_HEAD, slos, [one["status"] for one in found["slos"]], width, color)
    yield ""
    pools = [
        (
            one["pool"],
            one["action"],
            *(_number(one[name]) for name in ("current_nodes", "recommended_nodes", "waiting_requests")),
            printable(one["reason"]),
        )
        for one in found["pools"]
    ]
    yield from _table(POOL_HEAD, pools, [one["action"] for one in found["pools"]], width, color)


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], states: Sequence[str], width: int, color: bool
) -> Iterator[str]:
    first, *rest = table(head, rows).splitlines()
    yield _colored(first, BOLD, width, color)
    for state, line in zip(states, rest, strict=True):
        yield _colored(line, COLORS.get(state, ""), width, color)


def _colored(line: str, code: str, width: int, color: bool) -> str:
    line = line if len(line) <= width else f"{line[: width - 1]}…"
    return f"{code}{line}{PLAIN}" if color and code else line


def _number(value: float | None) -> str:
    return "no data" if value is None else f"{value:g}"

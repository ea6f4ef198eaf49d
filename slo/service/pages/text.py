"""Texts of the pages: statuses, durations, projections, and recommendations in words."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.checks.starting_file import NEEDED_FOR, POOL_LINES
from plimsoll.slo.error_budget.attribution import CAUSE_TEXTS, PREVENTABLE
from plimsoll.slo.error_budget.budget import Budget, too_early
from plimsoll.slo.error_budget.exhaustion import LEAST_COVERAGE, Exhaustion
from plimsoll.slo.service.configuration import SHOWN
from plimsoll.slo.service.pages.time_range import TEXTS
from plimsoll.slo.sli.indicators.latency import HISTOGRAMS
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.units import duration_text, percent_text

STATUS_SIGNS = {"ok": "✓", "burning": "▲", "exhausted": "✕", "unknown": "?"}
STATUS_TEXTS = {"ok": "Healthy", "burning": "Burning", "exhausted": "Exhausted", "unknown": "No data"}
RULES = {
    "demand": "Demand and backlog",
    "slo": "Latency SLO",
    "event": "Announced event",
    "queue": "Queue depth",
    "kv_cache": "KV cache usage",
    "max_nodes": "Pool maximum",
    "min_nodes": "Pool minimum",
    "scale_in": "Scale-in",
    "hold": "No change",
    "roles": "Prefill and decode",
    "no_data": "No data",
}
# Names of latencies in an indicator's text: alone, and among several.
LATENCIES = {
    "time_to_first_token": ("time to first token", "TTFT"),
    "time_per_output_token": ("time per output token", "TPOT"),
    "request_duration": ("end-to-end latency", "E2E"),
}


def shown_status(budget: Budget) -> str:
    """Return the status that a page shows: in a young window only a burn-rate alert that fires."""
    if budget.too_early and budget.budget_remaining is not None:
        return "burning" if budget.firing else "unknown"
    return budget.status


def status_text(budget: Budget) -> str:
    """Return the shown status of an SLO in words, and for an unknown one why."""
    if budget.too_early and budget.budget_remaining is not None:
        return STATUS_TEXTS["burning"] if budget.firing else "Too early to judge"
    if budget.status == "unknown" and budget.counted.indeterminate:
        return "Indeterminate"
    if budget.status == "unknown" and budget.counted.covered_seconds:
        return "No requests"
    return STATUS_TEXTS[budget.status]


def observed_text(observed_seconds: float, window_seconds: float, over: bool = False) -> str:
    """State that too little of a window was observed to judge it; `over`: the window has ended."""
    word = "little" if over else "early"
    return f"{format_duration(observed_seconds)} of {threshold(window_seconds)} observed: too {word} to judge"


def budget_text(budget: Budget) -> str:
    """Return in words why a young window's error budget has no number yet."""
    return observed_text(budget.counted.covered_seconds, budget.objective.window.seconds)


def percent(ratio: float) -> str:
    """Write a ratio in percent, with a true minus sign: a line break can't part it from the number."""
    return f"{ratio:.1%}".replace("-", "−")


def small_percent(ratio: float) -> str:
    """Write a ratio in percent with two significant digits below 1%."""
    return f"{100 * ratio:.2g}%" if 0 < ratio < 0.01 else percent(ratio)


def format_duration(seconds: float) -> str:
    """Write a duration with one unit: 40 s, 3.4 min, 2.1 h, 12.0 d."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def exhaustion_text(found: Exhaustion) -> str:
    """Return the projection of the time to exhaustion, with its interval."""
    if found.state == "exhausted":
        return "Error budget exhausted."
    if found.state == "unknown":
        low = found.coverage < LEAST_COVERAGE
        return f"No projection: only {percent(found.coverage)} of the last day has data." if low else "No projection."
    if found.seconds is None or found.earliest is None:
        earliest = "" if found.earliest is None else f" (at the earliest in {format_duration(found.earliest)})"
        return f"Not projected to exhaust at the current rate{earliest}."
    latest = "never" if found.latest is None else format_duration(found.latest)
    interval = f"90% interval {format_duration(found.earliest)} to {latest}"
    return f"Projected to exhaust in {format_duration(found.seconds)} ({interval}) at the last 24 hours' rate."


def slo_text(objective: Objective) -> str:
    """Return what an SLO requires, and where requests are counted if that isn't at the engines, as one phrase."""
    return _requirement(objective) + (", counted at gateways" if objective.count_at == "gateway" else "")


def search_text(objective: Objective) -> str:
    """Return the text in which a search for SLOs looks for each of its words, in lowercase."""
    return f"{objective.id} {objective.pool} {slo_text(objective)}".lower()


def _requirement(objective: Objective) -> str:
    target, text = percent_text(objective.target), str(objective.indicator)
    if text == "availability":
        return f"{target} of requests succeed"
    several = text.startswith("goodput: ")
    for name in HISTOGRAMS:
        words = LATENCIES.get(name, (name.replace("_", " "),) * 2)
        text = text.replace(f"{name} <= ", f"{words[several]} ≤ ")
    text = _spaced(text)
    if several:
        thresholds = text.removeprefix("goodput: ").replace(" and ", ", ")
        return f"{target} of requests meet all thresholds: {thresholds}"
    return f"{target} of requests with {text}"


def window_text(objective: Objective) -> str:
    """Return the window of an SLO in words."""
    if objective.window.calendar is None:
        days = objective.window.seconds / 86400
        length = f"{days:g}-day" if days >= 1 else duration_text(objective.window.seconds)
        return f"{length} rolling window"
    return f"calendar {objective.window.calendar} ({objective.window.timezone})"


def action_text(item: Any) -> str:
    """Return a recommendation (or a stored one, a dict) as a phrase: Add 2 nodes."""
    found = item if isinstance(item, Mapping) else {"action": item.action, "nodes": item.nodes}
    if found["action"] in ("scale_out", "scale_in"):
        verb = "Add" if found["action"] == "scale_out" else "Remove"
        return f"{verb} {found['nodes']} node{'s' if found['nodes'] != 1 else ''}"
    return "No change" if found["action"] == "hold" else "Insufficient data"


def utc(seconds: float) -> str:
    """Write Unix seconds as 2026-11-29 21:38 UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def threshold(seconds: float) -> str:
    """Write a latency threshold with a space: 600 ms, 4 s."""
    return _spaced(duration_text(seconds))


def _spaced(text: str) -> str:
    """Write 600ms as 600 ms, with a space that doesn't break a line."""
    return re.sub(r"(\d)([a-z])", "\\1\u00a0\\2", text)


def code(text: str) -> Markup:
    """Return text as HTML, with its parts in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


FILTERS = {
    "percent": percent,
    "small_percent": small_percent,
    "exact_percent": percent_text,
    "span": duration_text,
    "status_text": status_text,
    "shown_status": shown_status,
    "budget_text": budget_text,
    "duration": format_duration,
    "exhaustion_text": exhaustion_text,
    "slo_text": slo_text,
    "search_text": search_text,
    "window_text": window_text,
    "action_text": action_text,
    "rfc3339": rfc3339,
    "utc": utc,
    "threshold": threshold,
    "code": code,
}
GLOBALS = {
    "signs": STATUS_SIGNS,
    "causes": CAUSE_TEXTS,
    "rules": RULES,
    "preventable": PREVENTABLE,
    "range_texts": TEXTS,
    "observed_text": observed_text,
    "too_early": too_early,
    "configuration_codes": SHOWN,
    "pool_lines": POOL_LINES,
    "needed_for": NEEDED_FOR,
}

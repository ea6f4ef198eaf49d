"""Which pages the truth deserves, by the tiers of the SRE workbook and the state of the engines; and which arrived."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from chaos_config import COLD_START, TARGET
from truth_fleet import KINDS, Fleet

# The Site Reliability Workbook, table 5-8, for a window of 28 days: 2 % of the budget in an hour, 5 % in six. The runs are
# shorter than an hour: both long windows hold the whole run. The short windows are a twelfth.
TIERS = ((0.02 * 28 * 24 / 1, 300.0), (0.05 * 28 * 24 / 6, 1800.0))
MARGIN = 1.3  # a burn within 30 % of a threshold may page or may not: rates are estimates
MIN_BAD = 10
DOWN = COLD_START + 120  # seconds after which a replica that is down is a page

BURN, REPLICA_DOWN = "SLOErrorBudgetBurn", "LLMReplicaDown"


class Page(NamedTuple):
    """A cause in a page."""

    pool: str
    alert: str


class Deserved(NamedTuple):
    """Pages that must arrive, and those that may."""

    must: set[Page]
    may: set[Page]


def deserved(fleet: Fleet, downs: Mapping[str, float]) -> Deserved:
    """Return the pages of the whole run. `downs` has for each replica the longest time (seconds) that it was down at a stretch."""
    must, may = set(), set()
    for pool in {engine.pool for engine in fleet.engines.values()}:
        burn = max(_burn(fleet, pool, kind) for kind in KINDS)
        must |= {Page(pool, BURN)} if burn > MARGIN else set()
        may |= {Page(pool, BURN)} if burn > 1 / MARGIN else set()
    for name, seconds in downs.items():
        page = Page(fleet.engines[name].pool, REPLICA_DOWN)
        must |= {page} if seconds > DOWN + 60 else set()
        may |= {page} if seconds > DOWN - 15 else set()
    return Deserved(must, may | must)


def _burn(fleet: Fleet, pool: str, kind: str) -> float:
    """Return the highest burn that both windows of a tier had, in multiples of the tier's threshold."""
    history = [(at, *counted[pool, kind]) for at, counted in fleet.history]
    worst = 0.0
    for threshold, short in TIERS:
        first = 0
        for at, good, total in history[30:]:
            while history[first][0] < at - short:
                first += 1
            if total - good < MIN_BAD:
                continue
            ratios = ((total - good) / total, _bad(history[first], (at, good, total)))
            worst = max(worst, min(ratios) / (1 - TARGET) / threshold)
    return worst


def _bad(then: tuple[float, int, int], now: tuple[float, int, int]) -> float:
    total = now[2] - then[2]
    return 0.0 if total <= 0 else (total - (now[1] - then[1])) / total


def arrived(events: Iterable[Mapping[str, Any]]) -> set[Page]:
    """Return the causes named in the triggers that PagerDuty got, by pool."""
    found = set()
    for event in events:
        if event["event_action"] == "trigger":
            firing = event["payload"]["custom_details"]["firing"]
            names = re.findall(r"^([A-Z]\w+): ", firing, re.MULTILINE)
            found |= {Page(event["payload"].get("component", ""), name) for name in names}
    return found

"""Which pages the truth deserves, and which ticket, by the tiers of the SRE workbook and the state of the engines; and which arrived."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from chaos_config import COLD_START, TARGET
from truth_fleet import KINDS, Fleet

# The Site Reliability Workbook, table 5-8, for a window of 28 days: 2 % of the budget in an hour, 5 % in six. The runs are
# shorter than an hour: both long windows hold the whole run. The short windows are a twelfth.
TIERS = ((0.02 * 28 * 24 / 1, 300.0), (0.05 * 28 * 24 / 6, 1800.0))
MARGIN = 1.3  # a burn within 30 % of a threshold may page or may not: rates are estimates
MIN_BAD = 10
DOWN = COLD_START + 120  # seconds after which a replica that is down is a ticket: the other one can carry the load

# An outage: so many of the requests of five minutes are bad, whatever is left of the budget.
OUTAGE_RATIO, OUTAGE_SECONDS = 0.4, 300.0

BURN, OUTAGE, REPLICA_DOWN = "SLOErrorBudgetBurn", "SLOOutage", "LLMReplicaDown"


class Page(NamedTuple):
    """A cause in a page, or in a lost replica's ticket."""

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
        outage = max(_outage(fleet, pool, kind) for kind in KINDS)
        must |= {Page(pool, BURN)} if burn > MARGIN else set()
        may |= {Page(pool, BURN)} if burn > 1 / MARGIN else set()
        may |= {Page(pool, OUTAGE)} if outage > 1 / MARGIN else set()
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


def _outage(fleet: Fleet, pool: str, kind: str) -> float:
    """Return the highest bad ratio of five minutes (or of the run so far), in multiples of the outage's."""
    history = [(at, *counted[pool, kind]) for at, counted in fleet.history]
    worst, first = 0.0, 0
    for one in history[30:]:
        while history[first][0] < one[0] - OUTAGE_SECONDS:
            first += 1
        worst = max(worst, _bad(history[first], one) / OUTAGE_RATIO)
    return worst


def _bad(then: tuple[float, int, int], now: tuple[float, int, int]) -> float:
    total = now[2] - then[2]
    return 0.0 if total <= 0 else (total - (now[1] - then[1])) / total


def missing(must: Iterable[Page], seen: Collection[Page]) -> set[Page]:
    """Return the pages that had to arrive and did not. An outage of an SLO inhibits the burn of its budget: one page tells of both."""
    return {page for page in must if page not in seen and not (page.alert == BURN and Page(page.pool, OUTAGE) in seen)}


def arrived(events: Iterable[Mapping[str, Any]]) -> set[Page]:
    """Return the causes named in the triggers that PagerDuty got, by pool: of all pages, and of the tickets the lost replica's."""
    found = set()
    for event in events:
        if event["event_action"] == "trigger":
            firing, page = event["payload"]["custom_details"]["firing"], event["payload"]["severity"] == "critical"
            names = re.findall(r"^([A-Z]\w+): ", firing, re.MULTILINE)
            found |= {
                Page(event["payload"].get("component", ""), name) for name in names if page or name == REPLICA_DOWN
            }
    return found

"""How an SLO's numbers were counted: the slots behind them, their evidence, and the queries that show the same requests at the source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from plimsoll.slo import links
from plimsoll.slo.calendar import DAY, HOUR, SLOT, first_slot, rfc3339, slot_of
from plimsoll.slo.error_budget.budget import RequestCounts
from plimsoll.slo.error_budget.burn_rate import burn_rate
from plimsoll.slo.error_budget.exclusions import Stretch, stretches
from plimsoll.slo.ledger.slots import Slot
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.service.http.parameters import require_slo, window_or
from plimsoll.slo.service.pages.time_range import AskedRange, Shown
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.check_queries import check_queries
from plimsoll.slo.sli.increments import SIMULATED

SLOTS_SHOWN = 26 * HOUR  # seconds: a longer range has a row per day, which leads to that day's slots


@dataclass(frozen=True, slots=True)
class Row:
    """Slots with data from `start` to `end` (Unix seconds), all of them counted or all of them excluded."""

    start: float
    end: float
    counted: RequestCounts
    slots: int
    evidence: tuple[str, ...]
    excluded: bool


def counted_path(slo_id: str, start: float, end: float) -> str:
    """Return the address of the slots behind a number that counts from one moment to another."""
    return f"/slos/{slo_id}/counted?from={rfc3339(first_slot(start))}&to={rfc3339(slot_of(end) + SLOT)}"


def add(pages: APIRouter, templates: Jinja2Templates, service: Service, grafana: str) -> None:
    """Add the page."""
    templates.env.globals["counted_path"] = counted_path

    @pages.get("/slos/{slo_id}/counted")
    def counted_page(request: Request, slo_id: str, asked: AskedRange) -> HTMLResponse:
        """By default the SLO window."""
        objective, at = require_slo(service, slo_id), service.evaluated().at
        shown = asked.shown(at, window_or(service, objective, None, None)[0], "window")
        excluded = stretches(service.evaluated().exclusions, objective)
        by_slot = shown.end - shown.start <= SLOTS_SHOWN
        rows = list(_rows(service.ledger.slots(slo_id, shown.start, shown.end), excluded, shown, by_slot))
        total, away = (_sum([row.counted for row in rows if row.excluded == out]) for out in (False, True))
        context = {
            "o": objective,
            "rows": rows,
            "by_slot": by_slot,
            "simulated": any(SIMULATED in row.evidence for row in rows),
            "total": total,
            "excluded": away,
            "burn": burn_rate(total.good, total.total, objective.budget_ratio),
            "burn_lower_bound": burn_rate(total.upper_bound.good, total.total, objective.budget_ratio),
            "replicas": _replicas(service, objective.pool, shown) if by_slot else {},
            "checks": _checks(service, slo_id, rows, shown, grafana),
            "panel": links.panel_url(links.BUDGET, grafana, pool=objective.pool, objective=slo_id) if grafana else "",
            "shown": shown,
            "at": at,
        }
        return templates.TemplateResponse(request, "counted.html", context)


def _rows(found: Sequence[Slot], excluded: Sequence[Stretch], shown: Shown, by_slot: bool) -> Iterator[Row]:
    """Yield a row per slot or per day of UTC; what is excluded of a day is a row of its own, after the rest."""
    size = SLOT if by_slot else int(DAY)

    def key(slot: Slot) -> tuple[int, bool]:
        return slot.slot // size * size, any(low <= slot.slot < high for low, high in excluded)

    for (start, out), group in groupby(sorted(found, key=key), key):
        slots = list(group)
        begin, end = max(float(start), shown.start), min(float(start + size), shown.end)
        yield Row(begin, end, _sum(slots), len(slots), _evidence(slots), out)


def _sum(found: Sequence[Slot] | Sequence[RequestCounts]) -> RequestCounts:
    good, total, indeterminate = (
        sum(getattr(one, name) for one in found) for name in ("good", "total", "indeterminate")
    )
    return RequestCounts(good, total, sum(one.covered_seconds for one in found), indeterminate=indeterminate)


def _evidence(slots: Sequence[Slot]) -> tuple[str, ...]:
    return tuple(sorted({part for source in {one.source for one in slots} for part in source.split("+")}))


def _replicas(service: Service, pool: str, shown: Shown) -> dict[float, float | None]:
    return {row.slot: row.replicas for row in pool_rows(service.ledger.engine, pool, shown.start, shown.end)}


def _checks(service: Service, slo_id: str, rows: Sequence[Row], shown: Shown, grafana: str) -> list[dict[str, Any]]:
    """Return the queries of the evidence that the rows have, of every kind where they have none; each with its address in Grafana."""
    objective = service.spec.objective(slo_id)
    every = check_queries(objective, service.spec.pool(objective.pool))
    seen = {part for row in rows for part in row.evidence}
    return [
        {
            "what": f"{what}, {one.sources[0]}".replace("_", " "),
            "query": query,
            "url": links.explore_url(query, grafana, (shown.start, shown.end)) if grafana else "",
        }
        for one in [one for one in every if seen & set(one.sources)] or every
        for what, query in (("Good", one.good), ("Total", one.total))
    ]

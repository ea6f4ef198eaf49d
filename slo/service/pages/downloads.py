"""What a page shows, as CSV: the table of SLOs as it is filtered, the history of an SLO and of a pool. Numbers are exact."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Response

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.csv_table import to_csv
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.error_budget.exclusions import stretches
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.reports.budget_history import Point, budget_history
from plimsoll.slo.service.api import models
from plimsoll.slo.service.api.pools import PoolSlot
from plimsoll.slo.service.api.recommendations import answered
from plimsoll.slo.service.api.slos import described
from plimsoll.slo.service.evaluation import Evaluation
from plimsoll.slo.service.http.parameters import require_pool, require_slo
from plimsoll.slo.service.pages.text import search_text, shown_status, slo_text, window_text
from plimsoll.slo.service.pages.time_range import AskedRange
from plimsoll.slo.service.state import Service

RECOMMENDATIONS = 1000  # the newest
SLO_FIELDS = (
    *("good", "total", "indeterminate", "coverage", "excluded_good", "excluded_total", "excluded_seconds"),
    *("budget_remaining", "budget_remaining_upper_bound", "simulated"),
)
ADVICE = ("at", "action", "nodes", "current_nodes", "recommended_nodes", "rule", "confidence")
ANSWER = ("answer", "actor", "reason", "at")


def add(pages: APIRouter, service: Service) -> None:
    """Add the downloads."""

    @pages.get("/slos.csv")
    def slos(q: str = "", pool: str = "", status: str = "") -> Response:
        evaluated, words = service.evaluated(), q.lower().split()
        chosen = [
            one
            for one in evaluated.budgets.values()
            if pool in ("", one.objective.pool)
            and status in ("", shown_status(one))
            and all(word in search_text(one.objective) for word in words)
        ]
        header = ("id", "pool", "requires", "window", "status", *SLO_FIELDS, "seconds_to_exhaustion", "at")
        return _file("slos", header, [_slo(evaluated, one) for one in chosen])

    @pages.get("/slos/{slo_id}/budget.csv")
    def budget(slo_id: str) -> Response:
        require_slo(service, slo_id)
        evaluated = service.evaluated()
        state = evaluated.budgets[slo_id]
        points = budget_history(service.ledger, state, stretches(evaluated.exclusions, state.objective), evaluated.at)
        names = Point.__struct_fields__
        return _file(f"{slo_id}-budget", names, [[getattr(one, name) for name in names] for one in points])

    @pages.get("/slos/{slo_id}/slots.csv")
    def slots(slo_id: str, asked: AskedRange) -> Response:
        objective, shown = require_slo(service, slo_id), asked.shown(service.evaluated().at)
        found = described(service, objective, service.ledger.slots(slo_id, shown.start, shown.end))
        names = list(models.Slot.model_fields)
        return _file(f"{slo_id}-slots", names, [[getattr(one, name) for name in names] for one in found])

    _pool_files(pages, service)


def _pool_files(pages: APIRouter, service: Service) -> None:
    @pages.get("/pools/{pool}/slots.csv")
    def pool_slots(pool: str, asked: AskedRange) -> Response:
        require_pool(service, pool)
        shown = asked.shown(service.evaluated().at)
        rows = pool_rows(service.ledger.engine, pool, shown.start, shown.end)
        names = list(PoolSlot.model_fields)
        found = [PoolSlot.model_validate(row) for row in rows]
        return _file(f"{pool}-slots", names, [[getattr(one, name) for name in names] for one in found])

    @pages.get("/pools/{pool}/recommendations.csv")
    def recommendations(pool: str) -> Response:
        require_pool(service, pool)
        found = [one.model_dump(mode="json") for one in answered(service, pool, RECOMMENDATIONS)]
        header = (*ADVICE, "reasons", "answer", "answered_by", "answer_reason", "answered_at")
        rows = [
            [
                *(one[name] for name in ADVICE),
                " ".join(one["reasons"]),
                *((one["acknowledgement"] or {}).get(name) for name in ANSWER),
            ]
            for one in found
        ]
        return _file(f"{pool}-recommendations", header, rows)


def _slo(evaluated: Evaluation, budget: Budget) -> list[Any]:
    slo, o = evaluated.slos[budget.objective.id], budget.objective
    left = evaluated.exhaustions[o.id].seconds
    texts = (o.id, o.pool, slo_text(o), window_text(o), shown_status(budget))
    return [*texts, *(getattr(slo, name) for name in SLO_FIELDS), left, rfc3339(evaluated.at)]


def _file(name: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="plimsoll-{name}.csv"'}
    return Response(to_csv(header, rows), media_type="text/csv", headers=headers)

"""Routes of SLOs: budgets, burn rates, history, and counted requests."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query, Response

from plimsoll.slo.calendar import SLOT, first_slot, rfc3339, slot_of
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.error_budget.exclusions import stretches
from plimsoll.slo.ledger.slots import Slot
from plimsoll.slo.reports.budget_history import budget_history
from plimsoll.slo.reports.definitions import Definitions, definitions_of, known_definitions
from plimsoll.slo.service.api import models
from plimsoll.slo.service.evaluation import Evaluation
from plimsoll.slo.service.http.parameters import (
    AFTER,
    LIMIT,
    At,
    Since,
    SloId,
    Until,
    link,
    moment,
    require_slo,
    require_slots,
    span,
)
from plimsoll.slo.service.http.problems import READING, ApiError
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.spec.window_bounds import bounds

MAX_CACHED_PAGES = 16  # of one evaluation


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""
    _slo_routes(api, service)
    _history_routes(api, service)
    _slot_routes(api, service)


def _evaluation(service: Service, at: datetime | None, only: str | None = None) -> Evaluation:
    if at is None:
        return service.evaluated()
    with require_slots():
        return service.evaluated(moment(service, at), only)


def _one(service: Service, slo_id: str, at: datetime | None = None) -> tuple[Evaluation, Budget]:
    require_slo(service, slo_id)
    evaluated = _evaluation(service, at, slo_id)
    return evaluated, evaluated.budgets[slo_id]


def window_definitions(service: Service, budget: Budget, at: float) -> Definitions:
    """Return by which definitions the slots of an SLO's window at a moment were counted."""
    start = first_slot(bounds(budget.objective.window, at)[0])
    return definitions_of(service.ledger.engine, budget.objective, start, slot_of(at) + SLOT)


def _page(evaluated: Evaluation, after: str, limit: int, at: datetime | None) -> str:
    """Serialize a page of SLOs directly: FastAPI would validate each of a thousand objects again."""
    ids = list(evaluated.budgets)
    begin = ids.index(after) + 1 if after else 0
    chosen, more = ids[begin : begin + limit], begin + limit < len(ids)
    following = link("/api/v1/slos", after=chosen[-1], limit=limit, at=at and at.isoformat()) if more else None
    page = models.Slos(slos=[evaluated.slos[name] for name in chosen], at=rfc3339(evaluated.at), next=following)
    return page.model_dump_json()


def _slo_routes(api: APIRouter, service: Service) -> None:
    @api.get(
        "/slos",
        response_model=models.Slos,
        responses=READING,
        tags=["SLOs"],
        summary="List SLOs with error budget and burn rates",
    )
    def list_slos(
        after: Annotated[str, Query(description=AFTER, max_length=63)] = "",
        limit: Annotated[int, Query(description=LIMIT, ge=1, le=1000)] = 1000,
        at: At = None,
    ) -> Response:
        """In the order of the objectives file."""
        evaluated = _evaluation(service, at)
        if after and after not in evaluated.budgets:
            raise ApiError(422, "unknown_slo", f"after: unknown SLO {after!r}.")
        if (after, limit) not in evaluated.pages:
            if len(evaluated.pages) >= MAX_CACHED_PAGES:
                evaluated.pages.clear()
            evaluated.pages[after, limit] = _page(evaluated, after, limit, at)
        return Response(evaluated.pages[after, limit], media_type="application/json")

    @api.get("/slos/{slo_id}", responses=READING, tags=["SLOs"], summary="Get an SLO")
    def get_slo(slo_id: SloId, at: At = None) -> models.SloDetail:
        """The same object as in the list, and more. `data_problems` are those of now."""
        evaluated, budget = _one(service, slo_id, at)
        found = window_definitions(service, budget, evaluated.at)
        return models.SloDetail(
            **evaluated.slos[slo_id].model_dump(),
            counts=budget.objective.counts,
            definition_changes=[models.DefinitionChange(**change._asdict()) for change in found.changes],
            slots_by_earlier_definition=found.earlier_slots,
            slots=found.slots,
            data_problems=[
                models.DataProblem.model_validate(one)
                for one in service.problems.of(budget.objective.pool, budget.objective.id)
            ],
        )


def _history_routes(api: APIRouter, service: Service) -> None:
    @api.get(
        "/slos/{slo_id}/budget",
        response_model=models.BudgetHistory,
        responses=READING,
        tags=["SLOs"],
        summary="Get the error budget and its history",
    )
    def get_budget(slo_id: SloId, at: At = None) -> Response:
        """Up to 288 points of the window so far; the last one is the current budget."""
        evaluated, state = _one(service, slo_id, at)
        excluded = stretches(evaluated.exclusions, state.objective)
        body = {
            "id": slo_id,
            "budget_remaining": state.budget_remaining,
            "budget_remaining_upper_bound": state.budget_remaining_upper_bound,
            "budget_remaining_without_exclusions": state.budget_remaining_without_exclusions,
            "allowed_bad": state.objective.budget_ratio * state.counted.total,
            "bad": state.bad,
            "total": state.counted.total,
            "indeterminate": state.counted.indeterminate,
            "coverage": state.coverage,
            "points": budget_history(service.ledger, state, excluded, evaluated.at),
            "simulated": state.counted.simulated,
            "at": rfc3339(evaluated.at),
        }
        # Serialized directly: FastAPI would validate each of the points again.
        return Response(msgspec.json.encode(body), media_type="application/json")


def _slot_routes(api: APIRouter, service: Service) -> None:
    @api.get(
        "/slos/{slo_id}/slots",
        responses=READING,
        tags=["SLOs"],
        summary="List good and total requests per 5-minute slot",
    )
    def list_slo_slots(
        slo_id: SloId,
        since: Since = None,
        until: Until = None,
        limit: Annotated[int, Query(description=LIMIT, ge=1, le=10_000)] = 10_000,
    ) -> models.Slots:
        """In time order. Slots without data are not listed."""
        chosen = require_slo(service, slo_id)
        start, end = span(service, since, until)
        rows = service.ledger.slots(slo_id, start, end, limit + 1)
        more = {"from": rfc3339(rows[-1].slot), "to": rfc3339(end), "limit": limit} if len(rows) > limit else None
        found = described(service, chosen, rows[:limit])
        return models.Slots(slots=found, next=link(f"/api/v1/slos/{slo_id}/slots", **more) if more else None)


def described(service: Service, objective: Objective, rows: Sequence[Slot]) -> list[models.Slot]:
    """Return stored slots of an SLO as the API shows them: with what it counted then, and whether they are excluded."""
    excluded = stretches(service.records.exclusions(), objective)
    texts = known_definitions(service.ledger.engine)
    found = [models.Slot.model_validate(row) for row in rows]
    for slot, row in zip(found, rows, strict=True):
        slot.counts = texts.get(row.spec_hash)
        slot.excluded = any(low <= row.slot < high for low, high in excluded)
    return found

"""The API's routes under /api/v1 that read objectives and their budgets."""

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, HTTPException, Query, Response

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.error_budget.exclusions import stretches
from plimsoll.slo.reports.budget_history import budget_history
from plimsoll.slo.reports.slo_status import Slo
from plimsoll.slo.service.api import attribution, calibration, changes, compare, models, pools, reviews, tenants, whatif
from plimsoll.slo.service.http.parameters import At, Since, Until, as_far_as_kept, link, moment, of_objective, span
from plimsoll.slo.service.http.problems import READING
from plimsoll.slo.service.state import Evaluation, Service

PAGES_KEPT = 16  # of one evaluating: what a dozen screens look at
SLOT_FIELDS = ("good", "total", "indeterminate", "covered_seconds", "spec_hash", "source")


def router(service: Service) -> APIRouter:
    """Build the routes over one service."""
    api = APIRouter(prefix="/api/v1")
    _objective_routes(api, service)
    _history_routes(api, service)
    pools.add(api, service)
    changes.add(api, service)
    reviews.add(api, service)
    whatif.add(api, service)
    calibration.add(api, service)
    attribution.add(api, service)
    compare.add(api, service)
    tenants.add(api, service)
    return api


def _judged(service: Service, at: datetime | None, only: str | None = None) -> Evaluation:
    """Return the budgets at a moment that the ledger can know in full; refuse another with 422."""
    if at is None:
        return service.evaluated()
    with as_far_as_kept():
        return service.evaluated(moment(service, at), only)


def _one(service: Service, objective: str, at: datetime | None = None) -> tuple[Evaluation, Budget]:
    of_objective(service, objective)
    evaluated = _judged(service, at, objective)
    return evaluated, evaluated.budgets[objective]


def _page(evaluated: Evaluation, after: str, limit: int, at: datetime | None) -> str:
    """Write a page of objectives at once: FastAPI would check each of a thousand objects again."""
    ids = list(evaluated.budgets)
    begin = ids.index(after) + 1 if after else 0
    chosen, more = ids[begin : begin + limit], begin + limit < len(ids)
    following = link("/api/v1/slos", after=chosen[-1], limit=limit, at=at and at.isoformat()) if more else None
    page = models.Slos(slos=[evaluated.shown[name] for name in chosen], at=rfc3339(evaluated.at), next=following)
    return page.model_dump_json()


def _objective_routes(api: APIRouter, service: Service) -> None:
    @api.get("/slos", response_model=models.Slos, responses=READING)
    def slos(
        after: Annotated[str, Query(description="Go on after this id.", max_length=63)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
        at: At = None,
    ) -> Response:
        evaluated = _judged(service, at)
        if after and after not in evaluated.budgets:
            raise HTTPException(422, f"after: no objective {after!r}")
        if (after, limit) not in evaluated.pages:
            if len(evaluated.pages) >= PAGES_KEPT:
                evaluated.pages.clear()
            evaluated.pages[after, limit] = _page(evaluated, after, limit, at)
        return Response(evaluated.pages[after, limit], media_type="application/json")

    @api.get("/slos/{objective}", responses=READING)
    def slo(objective: str, at: At = None) -> Slo:
        evaluated, budget = _one(service, objective, at)
        return evaluated.shown[budget.objective.id]


def _history_routes(api: APIRouter, service: Service) -> None:
    @api.get("/slos/{objective}/budget", response_model=models.BudgetHistory, responses=READING)
    def budget(objective: str, at: At = None) -> Response:
        evaluated, state = _one(service, objective, at)
        excluded = stretches(evaluated.exclusions, state.objective)
        body = {
            "id": objective,
            "budget_remaining": state.budget_remaining,
            "budget_remaining_upper_bound": state.budget_remaining_upper_bound,
            "budget_remaining_without_exclusions": state.budget_remaining_without_exclusions,
            "allowed_bad": state.objective.budget_ratio * state.counted.total,
            "bad": state.bad,
            "total": state.counted.total,
            "indeterminate": state.counted.indeterminate,
            "coverage": state.coverage,
            "history": budget_history(service.ledger, state, excluded, evaluated.at),
            "simulated": state.counted.simulated,
            "at": rfc3339(evaluated.at),
        }
        # Written at once: FastAPI would check each of the points again.
        return Response(msgspec.json.encode(body), media_type="application/json")

    @api.get("/slos/{objective}/slots", responses=READING)
    def slots(
        objective: str,
        since: Since = None,
        until: Until = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    ) -> models.Slots:
        _, state = _one(service, objective)
        start, end = span(service, since, until)
        rows = service.ledger.slots(objective, start, end, limit + 1)
        excluded = stretches(service.records.exclusions(), state.objective)
        more = {"from": rfc3339(rows[-1].slot), "to": rfc3339(end), "limit": limit} if len(rows) > limit else None
        return models.Slots(
            slots=[
                models.Slot(
                    start=rfc3339(row.slot),
                    excluded=any(low <= row.slot < high for low, high in excluded),
                    **{name: getattr(row, name) for name in SLOT_FIELDS},
                )
                for row in rows[:limit]
            ],
            next=link(f"/api/v1/slos/{objective}/slots", **more) if more else None,
        )

"""Route of the error budgets of an SLO's tenants, counted at gateways."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.ledger.evaluation import evaluate_tenants
from plimsoll.slo.ledger.tenants import MAX_TENANTS
from plimsoll.slo.service.http.parameters import AFTER, LIMIT, NEXT, At, SloId, link, moment, require_slo, require_slots
from plimsoll.slo.service.http.problems import READING, ApiError
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.usage.tokens import OTHER


class GatewayBudget(BaseModel):
    """Requests in the SLO window so far, counted at gateways, without excluded time."""

    good: int
    total: int
    bad: int
    indeterminate: int = Field(
        description="Requests among `bad` that may be good: the threshold isn't a bucket boundary of the gateway's histogram."
    )
    good_ratio: float | None = Field(description="Good over total requests. `null`: no requests.")
    budget_consumed: float | None = Field(description="Bad requests over the bad requests that the target allows.")
    budget_remaining: float | None = Field(description="1 - budget_consumed. Negative: overspent.")
    simulated: bool


class TenantBudget(GatewayBudget):
    """One tenant's error budget."""

    tenant: str = Field(description=f"{OTHER!r}: all tenants beyond `max_tenants`, or that the gateway names so.")


class Tenants(BaseModel):
    """Tenants with requests in the window, the worst budget first, and all tenants together."""

    id: str
    at: str
    coverage: float = Field(description="Ratio of the window so far with gateway data.")
    total: GatewayBudget
    tenants: list[TenantBudget]
    max_tenants: int = Field(
        description=f"Tenants that are counted separately, by order of their first requests. The others are {OTHER!r}."
    )
    next: str | None = NEXT


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get("/slos/{slo_id}/tenants", responses=READING, tags=["SLOs"], summary="List error budgets per tenant")
    def list_tenant_budgets(
        slo_id: SloId,
        after: Annotated[str, Query(description=AFTER, max_length=200)] = "",
        limit: Annotated[int, Query(description=LIMIT, ge=1, le=1000)] = 1000,
        at: At = None,
    ) -> Tenants:
        """Only for SLOs with `group_by: tenant`."""
        chosen = require_slo(service, slo_id)
        if not chosen.group_by:
            detail = f"SLO {slo_id} isn't counted by tenant. Set `group_by: tenant` in the objectives file."
            raise ApiError(404, "tenants_not_enabled", detail)
        now = moment(service, at)
        total, found = budgets_of_tenants(service, chosen, now)
        names = [tenant for tenant, _ in found]
        if after and after not in names:
            raise ApiError(422, "unknown_tenant", f"after: unknown tenant {after!r}.")
        begin = names.index(after) + 1 if after else 0
        page = found[begin : begin + limit]
        more = (
            {"after": page[-1][0], "limit": limit, "at": at and at.isoformat()} if begin + limit < len(found) else None
        )
        return Tenants(
            id=slo_id,
            at=rfc3339(now),
            coverage=total.coverage,
            total=GatewayBudget.model_validate(_fields(total)),
            tenants=[TenantBudget.model_validate({"tenant": tenant, **_fields(budget)}) for tenant, budget in page],
            max_tenants=MAX_TENANTS,
            next=link(f"/api/v1/slos/{slo_id}/tenants", **more) if more else None,
        )


def budgets_of_tenants(service: Service, objective: Objective, now: float) -> tuple[Budget, list[tuple[str, Budget]]]:
    """Return the budget of all tenants together at a moment, and that of each, the worst first."""
    with require_slots():
        total, found = evaluate_tenants(service.ledger, objective, service.records.exclusions(), now)
    return total, sorted(found.items(), key=lambda one: (one[1].budget_remaining or 0.0, -one[1].bad, one[0]))


def _fields(budget: Budget) -> dict[str, object]:
    counted, remaining = budget.counted, budget.budget_remaining
    return {
        **{"good": counted.good, "total": counted.total, "bad": counted.bad, "indeterminate": counted.indeterminate},
        "good_ratio": counted.good / counted.total if counted.total else None,
        "budget_consumed": None if remaining is None else 1 - remaining,
        "budget_remaining": remaining,
        "simulated": counted.simulated,
    }

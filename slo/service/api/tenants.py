"""The API's route for the budgets of an objective's tenants, as the gateways counted them."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.ledger.evaluation import evaluate_tenants
from plimsoll.slo.ledger.tenants import MAX_TENANTS, OTHER
from plimsoll.slo.service.http.parameters import NEXT, At, as_far_as_kept, link, moment, of_objective
from plimsoll.slo.service.http.problems import READING
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import Objective


class AtGateways(BaseModel):
    """Requests in the objective's window so far, as gateways counted them, without what is excluded."""

    good: int
    total: int
    bad: int
    indeterminate: int = Field(
        description="Requests among the bad ones that may be good: the limit is no bound of the gateway's histogram."
    )
    good_ratio: float | None = Field(description="Good over total; null: no request.")
    budget_consumed: float | None = Field(
        description="Bad requests over those that the target allows for these requests."
    )
    budget_remaining: float | None = Field(description="1 - budget_consumed; negative: overspent.")
    simulated: bool


class TenantOut(AtGateways):
    """One tenant."""

    tenant: str = Field(description=f"{OTHER!r}: all that have no place of their own, or whom the gateway calls so.")


class Tenants(BaseModel):
    """The tenants that asked for something in the window, worst budget first, and all of them together."""

    id: str
    at: str
    coverage: float = Field(
        description="Share of the window so far in which the gateways were watched: a tenant that is not on their pages asked for nothing."
    )
    all: AtGateways
    tenants: list[TenantOut]
    most: int = Field(
        description=f"As many tenants are told apart, in order of their first requests; the rest are {OTHER!r}."
    )
    next: str | None = NEXT


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get("/slos/{objective}/tenants", responses=READING)
    def tenants(
        objective: str,
        after: Annotated[str, Query(description="Go on after this tenant.", max_length=200)] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
        at: At = None,
    ) -> Tenants:
        """Only of objectives that say `group_by: tenant`."""
        chosen = of_objective(service, objective)
        if not chosen.group_by:
            raise HTTPException(
                404,
                f"{objective} is not kept by tenant; write `group_by: tenant` into its block of the objectives file",
            )
        now = moment(service, at)
        whole, found = budgets_of_tenants(service, chosen, now)
        names = [tenant for tenant, _ in found]
        if after and after not in names:
            raise HTTPException(422, f"after: no tenant {after!r}")
        begin = names.index(after) + 1 if after else 0
        page = found[begin : begin + limit]
        more = (
            {"after": page[-1][0], "limit": limit, "at": at and at.isoformat()} if begin + limit < len(found) else None
        )
        return Tenants(
            id=objective,
            at=rfc3339(now),
            coverage=whole.coverage,
            all=AtGateways.model_validate(_fields(whole)),
            tenants=[TenantOut.model_validate({"tenant": tenant, **_fields(budget)}) for tenant, budget in page],
            most=MAX_TENANTS,
            next=link(f"/api/v1/slos/{objective}/tenants", **more) if more else None,
        )


def budgets_of_tenants(service: Service, objective: Objective, now: float) -> tuple[Budget, list[tuple[str, Budget]]]:
    """Return what all tenants did at a moment, and each of them, the worst budget first."""
    with as_far_as_kept():
        whole, found = evaluate_tenants(service.ledger, objective, service.records.exclusions(), now)
    return whole, sorted(found.items(), key=lambda one: (one[1].budget_remaining or 0.0, -one[1].bad, one[0]))


def _fields(budget: Budget) -> dict[str, object]:
    counted, left = budget.counted, budget.budget_remaining
    return {
        **{"good": counted.good, "total": counted.total, "bad": counted.bad, "indeterminate": counted.indeterminate},
        "good_ratio": counted.good / counted.total if counted.total else None,
        "budget_consumed": None if left is None else 1 - left,
        "budget_remaining": left,
        "simulated": counted.simulated,
    }

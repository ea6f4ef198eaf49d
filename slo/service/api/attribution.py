"""The API's route that says what an objective's pool looked like when its requests were bad."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.error_budget.attribution import Cause
from plimsoll.slo.reports.attribution import attributed
from plimsoll.slo.service.http.parameters import Since, Until, of_objective, window_or
from plimsoll.slo.service.http.problems import READING
from plimsoll.slo.service.state import Service


class ShareOut(BaseModel):
    """Bad requests under one cause: each is counted once, under the first that applies (docs/ledger.md)."""

    cause: Cause
    bad: int
    share: float = Field(description="Of all bad requests, 0 to 1.")
    slots: int = Field(description="Slots of five minutes in which some of them fell.")


class AttributionOut(BaseModel):
    """The bad requests of a window by what the pool looked like; the shares add up to `bad`."""

    id: str
    since: str = Field(alias="from")
    until: str = Field(alias="to")
    bad: int
    shares: list[ShareOut]
    helped: float | None = Field(
        description="Share of the bad requests, of those whose cause is known (not `unknown`, nor `indeterminate`: may be good), that more nodes would have helped with; "
        "null: of none is it known."
    )
    verdict: str


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get("/slos/{objective}/attribution", responses=READING)
    def attribution(objective: str, since: Since = None, until: Until = None) -> AttributionOut:
        """Default: the objective's window so far."""
        chosen = of_objective(service, objective)
        start, end = window_or(service, chosen, since, until)
        found = attributed(service.records, chosen, start, end)
        shares = [
            ShareOut(cause=one.cause, bad=one.bad, share=one.bad / found.bad, slots=one.slots) for one in found.shares
        ]
        span = {"from": rfc3339(start), "to": rfc3339(end)}
        return AttributionOut(
            id=objective, bad=found.bad, shares=shares, helped=found.helped, verdict=found.verdict, **span
        )

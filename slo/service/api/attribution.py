"""Route of the attribution of an SLO's bad requests."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.error_budget.attribution import CauseShare
from plimsoll.slo.reports.attribution import attributed
from plimsoll.slo.service.http.parameters import Since, SloId, Until, require_slo, window_or
from plimsoll.slo.service.http.problems import READING
from plimsoll.slo.service.state import Service


class SloAttribution(BaseModel):
    """The bad requests of a window by the first matching cause; the causes add up to `bad`."""

    id: str
    since: str = Field(serialization_alias="from")
    until: str = Field(serialization_alias="to")
    bad: int
    causes: tuple[CauseShare, ...]
    preventable_by_scaling_ratio: float | None = Field(
        description="Ratio of the bad requests with a known cause that more nodes would likely have prevented. `null`: no cause is known."
    )
    summary: str


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get("/slos/{slo_id}/attribution", responses=READING, tags=["SLOs"], summary="Attribute bad requests to causes")
    def get_attribution(slo_id: SloId, since: Since = None, until: Until = None) -> SloAttribution:
        """Default range: the SLO window so far."""
        chosen = require_slo(service, slo_id)
        start, end = window_or(service, chosen, since, until)
        found = attributed(service.records, chosen, start, end)
        return SloAttribution(
            id=slo_id,
            since=rfc3339(start),
            until=rfc3339(end),
            bad=found.bad,
            causes=found.causes,
            preventable_by_scaling_ratio=found.preventable_by_scaling_ratio,
            summary=found.summary,
        )

"""Routes of manual corrections, and of the audit of all manual changes."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.invariants import MOST
from plimsoll.slo.ledger.manual_changes import audit_events
from plimsoll.slo.service.api import models
from plimsoll.slo.service.api.manual import ManualChange, Moment, author
from plimsoll.slo.service.http.parameters import BEFORE, LIMIT, SloId, require_slo
from plimsoll.slo.service.http.problems import READING, WRITING, ApiError
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount

Count = Annotated[int, Field(ge=0, le=MOST)]
# The column of IDs has 32 bits, signed: PostgreSQL rejects a larger number where SQLite takes it.
HIGHEST_ID = 2**31 - 1


class CorrectionRequest(ManualChange):
    """Counts of one slot. They are exact: none is indeterminate. The audit keeps the previous counts."""

    start: Moment = Field(description="Start of the slot: a whole 5 minutes in UTC.")
    good: Count
    total: Count
    covered_seconds: float = Field(ge=0, le=300, description="Seconds of the slot with data.")


class AuditEvent(models.Row):
    """A manual change: who, when, and why. `before` and `after` are JSON."""

    id: int
    at: models.Timestamp
    actor: str
    reason: str
    action: str
    subject: str
    before: str | None
    after: str | None


class AuditEvents(BaseModel):
    """Manual changes, newest first."""

    events: list[AuditEvent]


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""

    @api.post(
        "/slos/{slo_id}/corrections",
        status_code=201,
        responses=WRITING,
        tags=["Corrections"],
        summary="Override the counts of one slot",
    )
    def create_correction(slo_id: SloId, body: CorrectionRequest, request: Request) -> models.Slot:
        """Later ingests don't overwrite a corrected slot."""
        require_slo(service, slo_id)
        start, now = body.start.timestamp(), service.clock()
        if start % SLOT or not max(0.0, service.records.pruned_until) <= start < now:
            detail = "start: must be the start of a stored slot: a whole 5 minutes in UTC, in the past."
            raise ApiError(422, "invalid_slot", detail)
        if body.good > body.total:
            raise ApiError(422, "invalid_counts", f"good: {body.good} exceeds total {body.total}.")
        count = SlotCount(int(start), body.good, body.total, body.covered_seconds, "")
        service.ledger.correct(slo_id, count, author(request, body.actor, "actor"), body.reason, now)
        service.evaluate()
        (row,) = service.ledger.slots(slo_id, start, start + SLOT)
        return models.Slot.model_validate(row)

    @api.get("/audit", responses=READING, tags=["Audit"], summary="List manual changes")
    def list_audit_events(
        before: Annotated[int | None, Query(ge=1, le=HIGHEST_ID, description=BEFORE)] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description=LIMIT)] = 100,
    ) -> AuditEvents:
        """Exclusions and corrections, newest first."""
        rows = audit_events(service.ledger.engine, before, limit)
        return AuditEvents(events=[AuditEvent.model_validate(row) for row in rows])

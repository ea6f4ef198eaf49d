"""The API's routes that change what is counted, by hand and on record: exclusions, corrections, and the audit of both."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from plimsoll.slo.calendar import SLOT, rfc3339
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.ledger.manual_changes import AlreadyCanceledError, audit_events, cancel, exclude
from plimsoll.slo.service.api import models
from plimsoll.slo.service.http.problems import READING, WRITING
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount

# What a person says: no control characters, which no reader needs and not every database can keep.
Said = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Count = Annotated[int, Field(ge=0, le=2**53)]


def _text(value: object) -> object:
    """Let only text be a moment: a bare number would pass for Unix seconds, or milliseconds from some size on."""
    if not isinstance(value, str):
        raise ValueError("write it as RFC 3339, such as 2026-11-21T08:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_text)]


Author = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


class CancelExclusionRequest(BaseModel):
    """Who does it and why; both are kept in the audit."""

    model_config = ConfigDict(extra="forbid")
    actor: Author
    reason: Said


class ExclusionRequest(BaseModel):
    """Time not to be counted. Every slot that it touches is taken out whole."""

    model_config = ConfigDict(extra="forbid")
    created_by: Author
    reason: Said
    since: Moment = Field(alias="from")
    until: Moment = Field(alias="to")
    objective: str | None = Field(None, description="Only this objective; give it or `pool` or neither (everything).")
    pool: str | None = None


class ExclusionOut(BaseModel):
    """An exclusion; one of the objectives file has no id and is canceled there."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
    id: str | None
    origin: Literal["file", "api"]
    since: str = Field(alias="from")
    until: str = Field(alias="to")
    objective: str | None
    pool: str | None
    created_by: str
    reason: str
    created_at: str | None
    canceled_at: str | None


class Exclusions(BaseModel):
    """Exclusions: the objectives file's, then those of the API, newest first; canceled ones stay listed."""

    exclusions: list[ExclusionOut]


class Correction(CancelExclusionRequest):
    """A slot set by hand, which is exact: none of it is indeterminate. What was counted stays in the audit."""

    start: Moment
    good: Count
    total: Count
    covered_seconds: float = Field(ge=0, le=300)


class AuditRow(BaseModel):
    """Who changed what by hand; `before` and `after` are JSON."""

    id: int
    at: str
    actor: str
    reason: str
    action: str
    subject: str
    before: str | None
    after: str | None


class Audit(BaseModel):
    """Audit rows, newest first."""

    audit: list[AuditRow]


LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()  # an exclusion beyond is a slip of the pen


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""
    _exclusion_routes(api, service)
    _correction_routes(api, service)


def _author(request: Request, name: str) -> str:
    """Return who says it, and by whose token: the second cannot be made up."""
    caller = request.scope.get("plimsoll_caller")
    return f"{name} (token {caller})" if caller else name


def _exclusion_routes(api: APIRouter, service: Service) -> None:
    @api.get("/exclusions", responses=READING)
    def exclusions() -> Exclusions:
        return Exclusions(exclusions=[_exclusion(item) for item in service.records.exclusions()])

    @api.get("/exclusions/{id}", responses=READING)
    def exclusion(id: UUID) -> ExclusionOut:
        found = next((item for item in service.records.exclusions() if item.id == str(id)), None)
        if found is None:
            raise HTTPException(404, f"no exclusion {id}")
        return _exclusion(found)

    @api.post("/exclusions", status_code=201, responses=WRITING)
    def add_exclusion(body: ExclusionRequest, request: Request, response: Response) -> ExclusionOut:
        start, end = body.since.timestamp(), body.until.timestamp()
        if not 0 < start < end < LATEST:
            raise HTTPException(422, "from and to must lie between 1970 and 2200, and to after from")
        for kind, name, known in (
            ("objective", body.objective, [item.id for item in service.spec.objectives]),
            ("pool", body.pool, [item.name for item in service.spec.pools]),
        ):
            if name is not None and name not in known:
                raise HTTPException(422, f"{kind}: there is no {name!r}; there are {', '.join(known)}")
        if body.objective and body.pool:
            raise HTTPException(422, "name an objective or a pool, not both; neither for everything")
        wished = Exclusion(start, end, _author(request, body.created_by), body.reason, body.objective, body.pool)
        kept = exclude(service.ledger.engine, wished, service.clock())
        service.evaluate()
        response.headers["Location"] = f"/api/v1/exclusions/{kept.id}"
        return _exclusion(kept)

    @api.post("/exclusions/{id}/cancel", responses=WRITING)
    def withdraw_exclusion(id: UUID, body: CancelExclusionRequest, request: Request) -> ExclusionOut:
        try:
            actor = _author(request, body.actor)
            gone = cancel(service.ledger.engine, str(id), actor, body.reason, service.clock())
        except KeyError as error:
            raise HTTPException(404, f"no exclusion {id}") from error
        except AlreadyCanceledError as error:
            raise HTTPException(409, f"exclusion {id} is canceled already") from error
        service.evaluate()
        return _exclusion(gone)


def _correction_routes(api: APIRouter, service: Service) -> None:
    @api.post("/slos/{objective}/corrections", status_code=201, responses=WRITING)
    def correct(objective: str, body: Correction, request: Request) -> models.Slot:
        if objective not in {item.id for item in service.spec.objectives}:
            raise HTTPException(404, f"no objective {objective!r}")
        start, now = body.start.timestamp(), service.clock()
        if start % SLOT or not max(0.0, service.records.pruned_until) <= start < now:
            raise HTTPException(422, "start: is not the start of a kept slot: whole five minutes of UTC, in the past")
        if body.good > body.total:
            raise HTTPException(422, f"good {body.good} is more than total {body.total}")
        count = SlotCount(int(start), body.good, body.total, body.covered_seconds, "")
        service.ledger.correct(objective, count, _author(request, body.actor), body.reason, now)
        service.evaluate()
        (row,) = service.ledger.slots(objective, start, start + SLOT)
        return models.Slot(**{**row._asdict(), "start": rfc3339(row.slot)})

    @api.get("/audit", responses=READING)
    def audit(
        before: Annotated[int | None, Query(ge=1, le=2**31, description="Only rows with an id below this.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> Audit:
        rows = audit_events(service.ledger.engine, before, limit)
        return Audit(audit=[AuditRow(**{**row, "at": rfc3339(row["at"])}) for row in rows])


def _exclusion(item: Exclusion) -> ExclusionOut:
    times: dict[str, Any] = {
        name: None if value is None else rfc3339(value)
        for name, value in (
            ("from", item.start),
            ("to", item.end),
            ("created_at", item.created_at),
            ("canceled_at", item.canceled_at),
        )
    }
    plain = {
        name: value
        for name, value in asdict(item).items()
        if name in ("id", "objective", "pool", "created_by", "reason")
    }
    return ExclusionOut(**plain, **times, origin=item.origin)

"""Routes of exclusions: time ranges that don't count."""

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from plimsoll.slo.error_budget import exclusions
from plimsoll.slo.ledger.manual_changes import AlreadyCanceledError, cancel, exclude
from plimsoll.slo.service.api.manual import ACTOR, Actor, ManualChange, Moment, Reason, author
from plimsoll.slo.service.api.models import Row, Timestamp
from plimsoll.slo.service.http.problems import READING, WRITING, ApiError
from plimsoll.slo.service.state import Service

ExclusionId = Annotated[UUID, Path(description="ID of an exclusion that was created through the API.")]
LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()  # a later end is a typing error


class CancelExclusionRequest(ManualChange):
    """Who cancels an exclusion, and why. Both are recorded in the audit."""


class ExclusionRequest(BaseModel):
    """A time range to exclude. Every slot that it touches is excluded as a whole."""

    model_config = ConfigDict(extra="forbid")
    created_by: Actor | None = Field(None, description=ACTOR)
    reason: Reason
    since: Moment = Field(alias="from")
    until: Moment = Field(alias="to")
    slo_id: str | None = Field(
        None, description="Exclude for this SLO only. Without `slo_id` and `pool`: for all SLOs."
    )
    pool: str | None = Field(None, description="Exclude for the SLOs of this pool only.")


class Exclusion(Row):
    """An exclusion. One of the objectives file has no ID; cancel it there. A slot that a query excludes has one."""

    id: str | None
    origin: Literal["file", "api", "query"]
    since: Timestamp = Field(validation_alias="start", serialization_alias="from")
    until: Timestamp = Field(validation_alias="end", serialization_alias="to")
    slo_id: str | None = Field(validation_alias="objective")
    pool: str | None
    created_by: str
    reason: str
    created_at: Timestamp | None
    canceled_at: Timestamp | None


class Exclusions(BaseModel):
    """Exclusions of the objectives file, then those of the API, newest first. Canceled ones stay listed."""

    exclusions: list[Exclusion]


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""
    _read_routes(api, service)

    @api.post(
        "/exclusions",
        status_code=201,
        responses=WRITING,
        tags=["Exclusions"],
        summary="Exclude a time range from SLO evaluation",
    )
    def create_exclusion(body: ExclusionRequest, request: Request, response: Response) -> Exclusion:
        """Past and future ranges are allowed. Budgets are evaluated again at once."""
        wanted = _checked(service, body, author(request, body.created_by, "created_by"))
        saved = exclude(service.ledger.engine, wanted, service.clock())
        service.evaluate()
        response.headers["Location"] = f"/api/v1/exclusions/{saved.id}"
        return Exclusion.model_validate(saved)

    @api.post("/exclusions/{id}/cancel", responses=WRITING, tags=["Exclusions"], summary="Cancel an exclusion")
    def cancel_exclusion(id: ExclusionId, body: CancelExclusionRequest, request: Request) -> Exclusion:
        """Its time range counts again. The exclusion stays listed."""
        try:
            actor = author(request, body.actor, "actor")
            canceled = cancel(service.ledger.engine, str(id), actor, body.reason, service.clock())
        except KeyError as error:
            raise ApiError(404, "unknown_exclusion", f"Unknown exclusion {id}.") from error
        except AlreadyCanceledError as error:
            raise ApiError(409, "already_canceled", f"Exclusion {id} is already canceled.") from error
        service.evaluate()
        return Exclusion.model_validate(canceled)


def _read_routes(api: APIRouter, service: Service) -> None:
    @api.get("/exclusions", responses=READING, tags=["Exclusions"], summary="List exclusions")
    def list_exclusions() -> Exclusions:
        """All exclusions, canceled ones included."""
        return Exclusions(exclusions=[Exclusion.model_validate(item) for item in service.records.exclusions()])

    @api.get("/exclusions/{id}", responses=READING, tags=["Exclusions"], summary="Get an exclusion")
    def get_exclusion(id: ExclusionId) -> Exclusion:
        """An exclusion that was created through the API."""
        found = next((item for item in service.records.exclusions() if item.id == str(id)), None)
        if found is None:
            raise ApiError(404, "unknown_exclusion", f"Unknown exclusion {id}.")
        return Exclusion.model_validate(found)


def _checked(service: Service, body: ExclusionRequest, created_by: str) -> exclusions.Exclusion:
    """Return the exclusion of a request; 422 where it is not a valid one."""
    start, end = body.since.timestamp(), body.until.timestamp()
    if not 0 < start < end < LATEST:
        raise ApiError(422, "invalid_time_range", "from, to: must be between 1970 and 2200, with `to` after `from`.")
    for field, name, known in (
        ("slo_id", body.slo_id, [item.id for item in service.spec.objectives]),
        ("pool", body.pool, [item.name for item in service.spec.pools]),
    ):
        if name is not None and name not in known:
            code = "unknown_slo" if field == "slo_id" else "unknown_pool"
            raise ApiError(422, code, f"{field}: unknown {name!r}. Use one of: {', '.join(known)}.")
    if body.slo_id and body.pool:
        raise ApiError(422, "ambiguous_scope", "slo_id, pool: set one of them, or neither for all SLOs.")
    return exclusions.Exclusion(start, end, created_by, body.reason, body.slo_id, body.pool)

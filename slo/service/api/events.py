"""Routes of announced events: times in which demand will be unlike that of other weeks."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from plimsoll.slo.ledger.manual_changes import AlreadyCanceledError, announce_event, cancel_event
from plimsoll.slo.service.api.manual import PRINTABLE, ManualChange, Moment, author
from plimsoll.slo.service.api.models import Row, Timestamp
from plimsoll.slo.service.http.problems import READING, WRITING, ApiError
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.event import MOST_FACTOR, MOST_RATE, AnnouncedEvent, fault_of

EventId = Annotated[UUID, Path(description="ID of an event that was announced through the API.")]


class CancelEventRequest(ManualChange):
    """Who cancels an event, and why. Both are recorded in the audit."""


class EventRequest(ManualChange):
    """Demand that is expected in a time range: `factor` or `requests_per_second`."""

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE, examples=["product launch"])]
    since: Moment = Field(alias="from")
    until: Moment = Field(alias="to", description="At most 31 days after `from`.")
    pool: str | None = Field(None, description="Of this pool alone. Without it: of all pools.")
    factor: float | None = Field(
        None, gt=0, le=MOST_FACTOR, description="Multiple of the usual demand of these hours.", examples=[2.5]
    )
    requests_per_second: float | None = Field(
        None, gt=0, le=MOST_RATE, description="Of one pool, in its busiest 5 minutes."
    )


class Event(Row):
    """An announced event. One of the objectives file has no ID; remove it there."""

    id: str | None
    origin: Literal["file", "api"] = "file"
    name: str
    since: Timestamp = Field(validation_alias="start", serialization_alias="from")
    until: Timestamp = Field(validation_alias="end", serialization_alias="to")
    pool: str | None
    factor: float | None
    requests_per_second: float | None
    created_by: str | None
    reason: str | None
    created_at: Timestamp | None
    canceled_at: Timestamp | None

    @classmethod
    def of(cls, event: AnnouncedEvent) -> "Event":
        """Return an event as the API shows it."""
        return cls.model_validate(event).model_copy(update={"origin": "api" if event.id else "file"})


class Events(BaseModel):
    """Events of the objectives file, then those of the API, newest first. Canceled ones stay listed."""

    events: list[Event]


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""

    @api.get("/events", responses=READING, tags=["Capacity"], summary="List announced events")
    def list_events() -> Events:
        """All events, past and canceled ones included."""
        return Events(events=[Event.of(one) for one in service.records.events()])

    @api.post("/events", status_code=201, responses=WRITING, tags=["Capacity"], summary="Announce an event")
    def create_event(body: EventRequest, request: Request, response: Response) -> Event:
        """The forecast has it, and nodes for it are recommended a cold start before it begins. A past one is left out of the usual demand."""
        wanted, actor = _checked(service, body), author(request, body.actor, "actor")
        stored = announce_event(service.ledger.engine, wanted, actor, body.reason, service.clock())
        response.headers["Location"] = "/api/v1/events"
        return Event.of(stored)

    @api.post("/events/{id}/cancel", responses=WRITING, tags=["Capacity"], summary="Cancel an event")
    def cancel_announced_event(id: EventId, body: CancelEventRequest, request: Request) -> Event:
        """Nothing follows from it any more. It stays listed."""
        try:
            actor = author(request, body.actor, "actor")
            return Event.of(cancel_event(service.ledger.engine, str(id), actor, body.reason, service.clock()))
        except KeyError as error:
            raise ApiError(404, "unknown_event", f"Unknown event {id}.") from error
        except AlreadyCanceledError as error:
            raise ApiError(409, "already_canceled", f"Event {id} is already canceled.") from error


def _checked(service: Service, body: EventRequest) -> AnnouncedEvent:
    """Return the event of a request; 422 where it isn't a valid one."""
    if fault := fault_of(body.since, body.until, (body.factor, body.requests_per_second), body.pool):
        raise ApiError(422, "invalid_event", fault)
    known = [one.name for one in service.spec.pools]
    if body.pool is not None and body.pool not in known:
        raise ApiError(422, "unknown_pool", f"pool: unknown {body.pool!r}. Use one of: {', '.join(known)}.")
    times = body.since.timestamp(), body.until.timestamp()
    if not times[0] > 0:
        raise ApiError(422, "invalid_time_range", "from: must be after 1970.")
    return AnnouncedEvent(body.name, *times, body.factor, body.requests_per_second, body.pool)

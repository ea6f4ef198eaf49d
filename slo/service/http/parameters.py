"""Path and query parameters that several routes share."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Path, Query
from pydantic import Field

from plimsoll.slo.calendar import DAY, first_slot, rfc3339
from plimsoll.slo.ledger.evaluation import PrunedDataError
from plimsoll.slo.service.http.problems import ApiError
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import Objective, Pool
from plimsoll.slo.spec.window_bounds import bounds

EXAMPLE = "2026-11-29T21:00:00Z"
SloId = Annotated[str, Path(description="ID of the SLO in the objectives file.", examples=["chat-ttft"])]
PoolName = Annotated[str, Path(description="Name of the pool in the objectives file.", examples=["chat-70b"])]
Since = Annotated[
    datetime | None,
    Query(
        alias="from",
        description="Start of the range (RFC 3339). Default: a day before `to`, or the SLO window.",
        examples=[EXAMPLE],
    ),
]
Until = Annotated[
    datetime | None, Query(alias="to", description="End of the range (RFC 3339). Default: now.", examples=[EXAMPLE])
]
At = Annotated[
    datetime | None,
    Query(description="Evaluate as of this time (RFC 3339). Default: latest evaluation.", examples=[EXAMPLE]),
]
LIMIT = "Maximum number of items."
AFTER = "Cursor: return items after this one."
BEFORE = "Cursor: return items before this one."
NEXT = Field(description="Path of the next page. `null` on the last page.")


def unix(moment: datetime) -> float:
    """Return Unix seconds; a time without an offset is UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def moment(service: Service, at: datetime | None) -> float:
    """Return a past moment in Unix seconds, by default that of the last evaluation; 422 for another."""
    if at is None:
        return service.evaluated().at
    if not 0 < unix(at) <= service.clock():
        raise ApiError(422, "invalid_time_range", f"at: {at.isoformat()} is not between 1970 and now.")
    return unix(at)


@contextmanager
def require_slots() -> Iterator[None]:
    """Answer 422 where the required slots are pruned."""
    try:
        yield
    except PrunedDataError as error:
        detail = f"at: slots before {rfc3339(error.until)} are pruned. Use a whole hour that is some days later."
        raise ApiError(422, "data_pruned", detail) from error


def span(service: Service, since: datetime | None, until: datetime | None) -> tuple[float, float]:
    """Return start and end in Unix seconds; by default the last day."""
    end = service.clock() if until is None else unix(until)
    return end - DAY if since is None else unix(since), end


def window_or(
    service: Service, objective: Objective, since: datetime | None, until: datetime | None
) -> tuple[float, float]:
    """Return start and end in Unix seconds, between 1970 and now; by default the SLO window of the last evaluation."""
    end = service.evaluated().at if until is None else min(max(0.0, unix(until)), service.clock())
    start = float(first_slot(bounds(objective.window, end)[0])) if since is None else unix(since)
    return max(0.0, min(start, end)), end


def require_slo(service: Service, slo_id: str) -> Objective:
    """Return the SLO with that ID; 404 for an unknown one."""
    known = [item.id for item in service.spec.objectives]
    if slo_id not in known:
        raise ApiError(404, "unknown_slo", f"Unknown SLO {slo_id!r}. Use one of: {', '.join(known[:20])}.")
    return service.spec.objective(slo_id)


def require_pool(service: Service, name: str) -> Pool:
    """Return the pool with that name; 404 for an unknown one."""
    known = [item.name for item in service.spec.pools]
    if name not in known:
        raise ApiError(404, "unknown_pool", f"Unknown pool {name!r}. Use one of: {', '.join(known)}.")
    return service.spec.pool(name)


def link(path: str, **parameters: object) -> str:
    """Return the path of a next page; parameters that are None are left out."""
    return f"{path}?{urlencode({name: value for name, value in parameters.items() if value is not None})}"

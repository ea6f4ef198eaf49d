"""What several of the API's routes are asked for: an objective, and the parameters `from` and `to`."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import HTTPException, Query
from pydantic import Field

from plimsoll.slo.calendar import DAY, first_slot, rfc3339
from plimsoll.slo.ledger.evaluation import PrunedDataError
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import Objective
from plimsoll.slo.spec.window_bounds import bounds

Since = Annotated[
    datetime | None, Query(alias="from", description="RFC 3339; default: a day before `to`, or the whole window")
]
Until = Annotated[datetime | None, Query(alias="to", description="RFC 3339; default: now")]
At = Annotated[
    datetime | None,
    Query(
        description="RFC 3339: the budget as it stood then, by what the ledger holds today. Default: as last evaluated."
    ),
]


def unix(moment: datetime) -> float:
    """Return Unix seconds; a time without an offset is UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def moment(service: Service, at: datetime | None) -> float:
    """Return a moment of the past in Unix seconds, the last evaluating where none is asked for; refuse another with 422."""
    if at is None:
        return service.evaluated().at
    if not 0 < unix(at) <= service.clock():
        raise HTTPException(422, f"at: {at.isoformat()} is not between 1970 and now")
    return unix(at)


@contextmanager
def as_far_as_kept() -> Iterator[None]:
    """Refuse with 422 what needs slots that are no longer kept."""
    try:
        yield
    except PrunedDataError as error:
        since = rfc3339(error.until)
        raise HTTPException(
            422, f"at: before {since} only sums of whole hours are kept; ask for a whole hour, some days later"
        ) from error


def span(service: Service, since: datetime | None, until: datetime | None) -> tuple[float, float]:
    """Return start and end in Unix seconds: the last day where nothing else is asked."""
    end = service.clock() if until is None else unix(until)
    return end - DAY if since is None else unix(since), end


def window_or(
    service: Service, objective: Objective, since: datetime | None, until: datetime | None
) -> tuple[float, float]:
    """Return start and end in Unix seconds, between 1970 and now: the objective's window as last evaluated where nothing else is
    asked.
    """
    end = service.evaluated().at if until is None else min(max(0.0, unix(until)), service.clock())
    start = float(first_slot(bounds(objective.window, end)[0])) if since is None else unix(since)
    return max(0.0, min(start, end)), end


def of_objective(service: Service, name: str) -> Objective:
    """Return the objective of that id; refuse one that there is not with 404."""
    known = [item.id for item in service.spec.objectives]
    if name not in known:
        raise HTTPException(404, f"no objective {name!r}; objectives are {', '.join(known[:20])}")
    return service.spec.objective(name)


NEXT = Field(description="Path of the next page; null on the last one.")


def link(path: str, **parameters: object) -> str:
    """Write the path of a next page; parameters that are None are left out."""
    return f"{path}?{urlencode({name: value for name, value in parameters.items() if value is not None})}"

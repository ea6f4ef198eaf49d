"""The parameters `from` and `to` of the API."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Query

from slo.service.state import Service

DAY = 86400.0
Since = Annotated[datetime | None, Query(alias="from", description="RFC 3339; default: a day before `to`")]
Until = Annotated[datetime | None, Query(alias="to", description="RFC 3339; default: now")]


def unix(moment: datetime) -> float:
    """Return Unix seconds; a time without an offset is UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def span(service: Service, since: datetime | None, until: datetime | None) -> tuple[float, float]:
    """Return start and end in Unix seconds: the last day where nothing else is asked."""
    end = service.clock() if until is None else unix(until)
    return end - DAY if since is None else unix(since), end

"""A moment in Unix seconds that is RFC 3339 in JSON."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from plimsoll.slo.calendar import rfc3339


def _unix(value: Any) -> Any:
    return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else value


Timestamp = Annotated[
    float,
    BeforeValidator(_unix),
    PlainSerializer(rfc3339, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]

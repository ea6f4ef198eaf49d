"""What routes for manual changes share: who changes it, why, and times of a request."""

from typing import Annotated

from fastapi import Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"  # not every database stores control characters
Reason = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE, examples=["load test"])]
Actor = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTABLE, examples=["ann"])]


def _require_text(value: object) -> object:
    """Accept only text: a bare number would pass for Unix seconds, or milliseconds from some size on."""
    if not isinstance(value, str):
        raise ValueError("Write the time as RFC 3339, such as 2026-11-21T08:00:00Z.")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_require_text), Field(examples=["2026-11-21T08:00:00Z"])]


class ManualChange(BaseModel):
    """Who makes a change, and why. Both are recorded in the audit."""

    model_config = ConfigDict(extra="forbid")
    actor: Actor
    reason: Reason


def author(request: Request, name: str) -> str:
    """Return the name that the caller gives, with the token that proves it."""
    caller = request.scope.get("plimsoll_caller")
    return f"{name} (token {caller})" if caller else name

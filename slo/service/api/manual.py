"""What routes for manual changes share: who changes it, why, and times of a request."""

from typing import Annotated

from fastapi import Request
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from plimsoll.slo.service.http.problems import ApiError

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"  # not every database stores control characters
Reason = Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE, examples=["load test"])]
Actor = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTABLE, examples=["ann"])]


def _require_text(value: object) -> object:
    """Accept only text: a bare number would pass for Unix seconds, or milliseconds from some size on."""
    if not isinstance(value, str):
        raise ValueError("Write the time as RFC 3339, such as 2026-11-21T08:00:00Z.")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_require_text), Field(examples=["2026-11-21T08:00:00Z"])]


ACTOR = "Your name. Required on a service without authentication; with it, the name of the token or user is recorded instead."


class ManualChange(BaseModel):
    """Who makes a change, and why. Both are recorded in the audit."""

    model_config = ConfigDict(extra="forbid")
    actor: Actor | None = Field(None, description=ACTOR)
    reason: Reason


def author(request: Request, name: str | None, field: str) -> str:
    """Return the authenticated caller's name, or on an open service the one given in `field`; 422 where there is none."""
    caller = request.scope.get("plimsoll_caller")
    if caller is not None:
        return str(caller.name)
    if name is None:
        raise ApiError(422, "missing_actor", f"{field}: required on a service without authentication.")
    return name

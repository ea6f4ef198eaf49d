"""What the API is told and answers about changes by hand: exclusions, corrections, and the audit of both."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

# What a person says: no control characters, which no reader needs and not every database can keep.
Said = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Count = Annotated[int, Field(ge=0, le=2**53)]


def _text(value: object) -> object:
    """Let only text be a moment: a bare number would pass for Unix seconds, or milliseconds from some size on."""
    if not isinstance(value, str):
        raise ValueError("write it as RFC 3339, such as 2026-11-21T08:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_text)]


class Reason(BaseModel):
    """Who does it and why; both are kept in the audit."""

    model_config = ConfigDict(extra="forbid")
    who: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]
    why: Said


class NewExclusion(Reason):
    """Time not to be counted. Every slot that it touches is taken out whole."""

    since: Moment = Field(alias="from")
    until: Moment = Field(alias="to")
    objective: str | None = Field(None, description="Only this objective; give it or `pool` or neither (everything).")
    pool: str | None = None


class ExclusionOut(BaseModel):
    """An exclusion; one of the objectives file has no id and is withdrawn there."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
    id: str | None
    origin: Literal["file", "api"]
    since: str = Field(alias="from")
    until: str = Field(alias="to")
    objective: str | None
    pool: str | None
    who: str
    why: str
    created_at: str | None
    withdrawn_at: str | None


class Exclusions(BaseModel):
    """Exclusions: the objectives file's, then those of the API, newest first; withdrawn ones stay listed."""

    exclusions: list[ExclusionOut]


class Correction(Reason):
    """A slot set by hand, which is exact: none of it is unclear. What was counted stays in the audit."""

    start: Moment
    good: Count
    total: Count
    covered_seconds: float = Field(ge=0, le=300)


class AuditRow(BaseModel):
    """Who changed what by hand; `before` and `after` are JSON."""

    id: int
    at: str
    who: str
    why: str
    action: str
    subject: str
    before: str | None
    after: str | None


class Audit(BaseModel):
    """Audit rows, newest first."""

    audit: list[AuditRow]

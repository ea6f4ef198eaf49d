"""The API's response models that no report computes."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.reports.slo_status import INDETERMINATE, Slo
from plimsoll.slo.service.http.parameters import NEXT


def _rfc3339(value: object) -> object:
    return rfc3339(value) if isinstance(value, int | float) else value


Timestamp = Annotated[str, BeforeValidator(_rfc3339)]  # RFC 3339, also from Unix seconds


class Row(BaseModel):
    """A model that is filled from a stored row."""

    model_config = ConfigDict(from_attributes=True, validate_by_name=True, validate_by_alias=True)


class DataProblem(Row):
    """Something wrong with data that came in. It costs the numbers that it names, and nothing else."""

    code: str = Field(examples=["duplicate_target"])
    where: str = Field(description="The series, replica, or slot.")
    message: str
    fix: str
    slot: Timestamp | None = Field(description="Start of the first slot that it concerns. `null`: no single one.")
    objective: str = Field(description="The SLO, if it is a problem of one alone; otherwise empty.")


class DefinitionChange(BaseModel):
    """A change of what an SLO counts. `null`: a definition that was not recorded."""

    at: Timestamp = Field(description="Start of the first slot that was counted under the new definition.")
    before: str | None = Field(serialization_alias="from", examples=["time_to_first_token <= 600ms, pool chat-70b"])
    after: str | None = Field(serialization_alias="to")


class SloDetail(Slo):
    """An SLO, its status, and by which definitions the slots of its window were counted."""

    counts: str = Field(description="What it counts now. A changed target or window doesn't change it.")
    definition_changes: list[DefinitionChange] = Field(description="In the window, oldest first.")
    slots_by_earlier_definition: int = Field(
        description="Slots of the window that were counted under another definition."
    )
    slots: int = Field(description="Slots of the window with data.")
    data_problems: list[DataProblem] = Field(description="What the last ingest found wrong with its data.")


class Slos(BaseModel):
    """SLOs in the order of the objectives file, from one evaluation."""

    slos: list[Slo]
    at: str
    next: str | None = NEXT


class BudgetPoint(BaseModel):
    """The error budget at one moment, over the window that ended then."""

    at: str
    budget_remaining: float | None
    bad: int
    total: int
    coverage: float = Field(description="Ratio of the step before this moment with data.")
    budget_remaining_upper_bound: float | None
    indeterminate: int = INDETERMINATE


class BudgetHistory(BaseModel):
    """An SLO's error budget and its history in the window."""

    id: str
    budget_remaining: float | None
    budget_remaining_upper_bound: float | None
    budget_remaining_without_exclusions: float | None
    allowed_bad: float = Field(description="Bad requests that the target allows for `total` requests.")
    bad: int = Field(description="Bad requests, including indeterminate ones.")
    total: int
    indeterminate: int = INDETERMINATE
    coverage: float
    points: list[BudgetPoint]
    simulated: bool
    at: str


class Slot(Row):
    """A 5-minute slot of an SLO. A slot that isn't listed has no data: unknown, not zero."""

    start: Timestamp = Field(validation_alias="slot")
    good: int
    total: int
    covered_seconds: float
    spec_hash: str
    counts: str | None = Field(default=None, description="What the SLO counted then. `null`: not recorded.")
    indeterminate: int = INDETERMINATE
    source: str = Field(
        description="Kinds of evidence, joined by `+`: evaluated per request in the engine, an exact bucket, a lower bound, bounds, or a "
        "counter; or a manual correction."
    )
    excluded: bool = False


class Slots(BaseModel):
    """Slots in time order."""

    slots: list[Slot]
    next: str | None = NEXT

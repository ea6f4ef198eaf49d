"""What the API answers: one model per JSON object."""

from pydantic import BaseModel, Field

from plimsoll.slo.reports.slo_status import INDETERMINATE, Slo
from plimsoll.slo.service.http.parameters import NEXT


class Slos(BaseModel):
    """Objectives in the order of their file, as they stood at one moment."""

    slos: list[Slo]
    at: str
    next: str | None = NEXT


class BudgetPoint(BaseModel):
    """The budget at one moment, evaluated over the window that ended then."""

    at: str
    budget_remaining: float | None
    bad: int
    total: int
    covered: float = Field(description="Share of the step before this moment that was observed.")
    budget_remaining_upper_bound: float | None
    indeterminate: int = INDETERMINATE


class BudgetHistory(BaseModel):
    """An objective's budget now and how it came to be."""

    id: str
    budget_remaining: float | None
    budget_remaining_upper_bound: float | None
    budget_remaining_without_exclusions: float | None
    allowed_bad: float = Field(description="Bad requests that the target allows for the requests counted so far.")
    bad: int = Field(description="Requests that are not surely good.")
    total: int
    indeterminate: int = INDETERMINATE
    coverage: float
    history: list[BudgetPoint]
    simulated: bool
    at: str


class Slot(BaseModel):
    """Five minutes of one objective. A slot that is not listed was not observed: unknown, not zero."""

    start: str
    good: int
    total: int
    covered_seconds: float
    spec_hash: str
    indeterminate: int = INDETERMINATE
    source: str = Field(
        description="Kinds of evidence, joined by `+`: request (each evaluated in the engine), bucket (the limit is a bound), bucket-below and "
        "bucket-between (the next lower bound, or both, as `bucket_mismatch` says), counter; `corrected` where a person set the slot."
    )
    excluded: bool = False


class Slots(BaseModel):
    """Slots in order of time."""

    slots: list[Slot]
    next: str | None = NEXT


class PoolOut(BaseModel):
    """A pool as its objectives file describes it."""

    name: str
    model: str
    min_nodes: int
    max_nodes: int
    warm_spares: int
    objectives: list[str]


class Pools(BaseModel):
    """All pools."""

    pools: list[PoolOut]

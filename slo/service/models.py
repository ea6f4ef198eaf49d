"""What the API answers: one model per JSON object."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from slo.budget import Budget


class BurnRate(BaseModel):
    """A tier's two windows. A burn rate of 1 spends exactly the whole budget in the whole window; null: no request seen."""

    tier: str
    severity: Literal["page", "ticket"]
    factor: float = Field(description="The tier fires when both burn rates are above this.")
    long_seconds: float
    short_seconds: float
    long_burn_rate: float | None
    short_burn_rate: float | None
    firing: bool


class Slo(BaseModel):
    """One objective and where it stands."""

    id: str
    pool: str
    indicator: str
    target: float
    window: str
    good: int
    total: int
    coverage: float = Field(description="Share of the window so far that was observed, 0 to 1. The rest is unknown.")
    budget_left: float | None = Field(
        description="Share of the error budget left; negative: overspent; null: no request."
    )
    burn_rates: list[BurnRate]
    status: Literal["ok", "burning", "exhausted", "unknown"]
    simulated: bool

    @classmethod
    def of(cls, budget: Budget) -> "Slo":
        """Write a judged objective as the API's object."""
        objective = budget.objective
        return cls(
            id=objective.id,
            pool=objective.pool,
            indicator=str(objective.indicator),
            target=objective.target,
            window=str(objective.window),
            good=budget.counted.good,
            total=budget.counted.total,
            coverage=budget.coverage,
            budget_left=budget.budget_left,
            burn_rates=[
                BurnRate(
                    tier=burn.tier.tier,
                    severity=burn.tier.severity,
                    factor=burn.tier.factor,
                    long_seconds=burn.tier.long,
                    short_seconds=burn.tier.short,
                    long_burn_rate=burn.long_burn,
                    short_burn_rate=burn.short_burn,
                    firing=burn.firing,
                )
                for burn in budget.burns
            ],
            status=budget.status,
            simulated=budget.counted.simulated,
        )


class Slos(BaseModel):
    """All objectives."""

    slos: list[Slo]


class BudgetPoint(BaseModel):
    """The budget at one moment, judged over the window that ended then."""

    at: str
    budget_left: float | None
    bad: int
    total: int
    covered: float = Field(description="Share of the step before this moment that was observed.")


class BudgetHistory(BaseModel):
    """An objective's budget now and how it came to be."""

    id: str
    budget_left: float | None
    allowed_bad: float = Field(description="Bad requests that the target allows for the requests counted so far.")
    bad: int
    total: int
    coverage: float
    history: list[BudgetPoint]
    simulated: bool


class Slot(BaseModel):
    """Five minutes of one objective. A slot that is not listed was not observed: unknown, not zero."""

    start: str
    good: int
    total: int
    covered_seconds: float
    spec_hash: str
    source: str


class Slots(BaseModel):
    """Slots in order of time."""

    slots: list[Slot]


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


class RecommendationOut(BaseModel):
    """How many nodes a pool should have, and why."""

    pool: str
    action: Literal["add", "release", "hold", "insufficient_data"]
    nodes: int
    current_nodes: int | None
    recommended_nodes: int | None
    reasons: list[str]
    evidence: dict[str, Any]
    confidence: float
    at: str
    simulated: bool


class RecommendationHistory(BaseModel):
    """Recommendations that said something new, newest first."""

    recommendations: list[RecommendationOut]


class Problem(BaseModel):
    """An error as RFC 9457 describes it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str

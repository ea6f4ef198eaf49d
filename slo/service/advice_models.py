"""What the API answers about nodes: the recommendation of a pool, with what else could be done, what users would feel, and the price."""

from typing import Any

from pydantic import BaseModel, Field

from slo.capacity.answer import Action, By, Rule


class ExpectedOut(BaseModel):
    """Share of requests within the promise, 0 to 1, if the traffic of the last `seconds` came again with what waits now ahead of it, and all
    nodes served. Null: not known, for the reason `why`."""

    promised: float | None = Field(default=None, description="Share that the pool's latency objectives ask for.")
    now: float | None = Field(default=None, description="With the nodes that there are, those on their way included.")
    recommended: float | None = Field(default=None, description="With the recommended nodes.")
    by: By | None = Field(
        default=None,
        description="simulation: requests, through the engine model with the pool's own step times. queue replay: tokens, by the work ahead "
        "of them on nodes that do the planned share of what they were measured to do.",
    )
    seconds: float | None = None
    why: str | None = None


class AlternativeOut(BaseModel):
    """Another number of nodes, and why it is not recommended."""

    nodes: int
    asked_by: list[Rule] = Field(description="Rules that asked for it, and for no more; another one decided.")
    attainment: float | None = Field(description="As in `expected`.")
    usd_per_hour: float | None
    why: str


class CostOut(BaseModel):
    """USD per hour; null: the pool's node has no price, or the number of nodes is not known. As many are counted on spot as may be, on both
    sides."""

    usd_per_hour_now: float | None = None
    usd_per_hour_recommended: float | None = None
    usd_per_hour_difference: float | None = None


class RecommendationOut(BaseModel):
    """How many nodes a pool should have, and why. Answers that were kept before 2026-11-22 have no rule, expectation, alternatives or cost."""

    pool: str
    action: Action
    nodes: int
    current_nodes: int | None
    recommended_nodes: int | None
    reasons: list[str]
    evidence: dict[str, Any] = Field(
        description="What the answer rests on. Once a replica was seen full: `capacity_tokens_per_second_per_replica` is what a "
        "new one counts as, `replica_tokens_per_second` what each that is there counts as, `replica_capacity_from` where that "
        "comes from (its own measurement, or that of others), `serving_tokens_per_second` the sum of those seen. "
        "`mix` (pools with spot nodes): how many of all nodes, and of those to add, on spot and on demand, how many must be left if "
        "spot nodes vanish (`needed_without_spot`; null: not known, so none is on spot), and the price of both. "
        "`budgets_spent`: objectives for which more headroom is planned, as `planned_share_of_capacity` says."
    )
    confidence: float
    at: str
    simulated: bool
    rule: Rule | None = Field(
        default=None,
        description="Which rule decided. demand: what arrives and waits; objective: the promise on the traffic of late; queue: the pool's limit "
        "on waiting requests; kv_cache: its limit on the KV cache; maximum, minimum: what the pool may have; scale_in: fewer would have "
        "carried the hold time; hold: nothing asks for more and something forbids fewer; no_data: nothing is known.",
    )
    expected: ExpectedOut = ExpectedOut()
    alternatives: list[AlternativeOut] = Field(default=[], description="Other numbers of nodes, nearest first.")
    cost: CostOut = CostOut()


class RecommendationHistory(BaseModel):
    """Recommendations that said something new, newest first."""

    recommendations: list[RecommendationOut]

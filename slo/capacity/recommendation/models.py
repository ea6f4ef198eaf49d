"""What a recommendation answers: what to do, which rule decided, what else could be done and why not, what users would feel, the price."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field

from plimsoll.slo.capacity.recommendation.demand import LatencyTarget

Action = Literal["scale_out", "scale_in", "hold", "insufficient_data"]
Rule = Literal[
    "demand",  # what arrives and waits, caught up with by the time a cold node serves
    "objective",  # the traffic of the last quarter of an hour, within the promise
    "queue",  # requests waiting per node, above the pool's limit
    "kv_cache",  # use of the KV cache, above the pool's limit for minutes
    "maximum",  # the pool may have no more, whatever asks for more
    "minimum",  # the pool must have as many, whatever would do
    "scale_in",  # fewer nodes would have carried all of the hold time
    "hold",  # nothing asks for more, and something forbids fewer
    "no_data",  # nothing is known, so nothing is changed
]
By = Literal["simulation", "queue replay"]


@dataclass(frozen=True, slots=True)
class Expected:
    """Share of requests within the promise, if the traffic of the last `seconds` came again with what waits now ahead of it, and all
    nodes served: with the nodes that there are `now` (those on their way included), and with those `recommended`.

    `by` simulation: requests, through the engine model with the pool's own step times. `by` queue replay: tokens, by the work that they would
    find ahead of them. None where that is not known, for the reason `why`. `promised` is the share that the objectives ask for.
    """

    promised: float | None = None
    now: float | None = None
    recommended: float | None = None
    by: By | None = None
    seconds: float | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another number of nodes, the rules that asked for it, what it would come to, and why it is not recommended."""

    nodes: int
    asked_by: list[Rule]
    attainment: float | None
    usd_per_hour: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Cost:
    """USD per hour of the nodes that there are, of those recommended, and what that is more; None where a node has no price, or their
    number is not known. As many are counted on spot as may be, on both sides."""

    usd_per_hour_now: float | None = None
    usd_per_hour_recommended: float | None = None
    usd_per_hour_difference: float | None = None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do with a pool. `nodes` is how many to add or release (0 for hold), `confidence` 0 to 1. `alternatives` are the nearest
    first. `rule` is None only in answers that were kept before there was one."""

    pool: str
    action: Action
    nodes: int
    current_nodes: int | None
    recommended_nodes: int | None
    reasons: list[str]
    evidence: dict[str, Any]
    confidence: float
    at: float
    simulated: bool = False
    rule: Rule | None = None
    expected: Expected = Expected()
    alternatives: list[Alternative] = field(default_factory=list)
    cost: Cost = Cost()


def nothing_known(
    pool: str, at: float, reason: str, promise: LatencyTarget | None, evidence: dict[str, Any] | None = None
) -> Recommendation:
    """Answer that nothing is known of a pool, for this reason, and so nothing is changed. `at` is in Unix seconds."""
    return Recommendation(
        *(pool, "insufficient_data", 0, None, None, [reason], evidence or {}, 0.0, at),
        rule="no_data",
        expected=Expected(None if promise is None else promise.target, why=reason),
    )


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

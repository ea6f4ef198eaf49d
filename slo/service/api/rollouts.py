"""Routes of a pool's rollout: announce it, and its new engine version beside the old one, SLO by SLO."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import HOUR, rfc3339
from plimsoll.slo.ledger.manual_changes import AnnouncedRollout, announce, announced_rollouts
from plimsoll.slo.service.api.manual import PRINTABLE, ManualChange, Moment, author
from plimsoll.slo.service.api.models import Row, Timestamp
from plimsoll.slo.service.http.parameters import PoolName, require_pool
from plimsoll.slo.service.http.problems import READING, WRITING, ApiError
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.rollouts import Judged, Rollout
from plimsoll.slo.sli.sequential import LEVEL, Verdict

LONGEST_HOURS = 12  # of an announced rollout: alerts must not stay lowered because an end was mistyped
TEXTS = {
    "worse": "worse than {baseline}. Roll back.",
    "not_worse": "not worse than {baseline}. Promote it.",
    "undecided": "not decided yet.",
}


class RequestCounts(BaseModel):
    """Requests of one version in the complete 5-minute slots in which both versions served."""

    bad: int
    total: int


class RolloutSlo(BaseModel):
    """The candidate compared with the baseline. The interval holds at every reading together, so it may be read at any time."""

    id: str
    verdict: Verdict = Field(
        description="`worse`: the interval is above 0. `not_worse`: the candidate burns at most 0.2 more of the budget."
    )
    baseline: RequestCounts
    candidate: RequestCounts
    bad_ratio_difference: float | None = Field(description="`null`: no slot in which both served.")
    ci_lower: float | None = Field(description=f"Confidence level {1 - LEVEL:.0%}, for all readings together.")
    ci_upper: float | None
    slots: int
    summary: str


class PoolRollout(BaseModel):
    """Two engine versions that serve a pool at once."""

    baseline: str
    candidate: str
    since: Timestamp = Field(description="When the candidate began to serve beside the baseline.")
    slos: list[RolloutSlo]


class RolloutRequest(ManualChange):
    """A rollout that begins now: who, why, to which version, and until when."""

    version: Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTABLE, examples=["0.32.0"])]
    until: Moment = Field(alias="to", description=f"End, at most {LONGEST_HOURS} h ahead.")
    max_unavailable: int = Field(1, ge=0, le=10_000, description="Replicas that it takes down at once.")


class Announced(Row):
    """An announced rollout. Until its end, alerts on what a rollout breaks for a while are lowered; user harm pages all the same."""

    version: str
    since: Timestamp = Field(validation_alias="start", serialization_alias="from")
    until: Timestamp = Field(validation_alias="end", serialization_alias="to")
    max_unavailable: int
    created_by: str
    reason: str


class RolloutStatus(BaseModel):
    """A pool's rollout: as announced, and as seen."""

    pool: str
    announced: Announced | None = Field(description="`null`: none is announced, or it has ended.")
    rollout: PoolRollout | None = Field(
        description="`null`: the pool serves with one version, or with two for a day or longer."
    )


def status(service: Service, pool: str) -> RolloutStatus:
    """Return a pool's rollout as it was last read, at most a minute ago."""
    standing = service.rollouts[pool].current
    known = announced_rollouts(service.ledger.engine, service.clock()).get(pool)
    announced = Announced.model_validate(known) if known else None
    if standing is None:
        return RolloutStatus(pool=pool, announced=announced, rollout=None)
    rollout = standing.rollout
    found = [_slo(rollout, one) for one in standing.judged]
    return RolloutStatus(
        pool=pool,
        announced=announced,
        rollout=PoolRollout(
            baseline=rollout.baseline, candidate=rollout.candidate, since=rfc3339(rollout.since), slos=found
        ),
    )


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""

    @api.get("/pools/{pool}/rollout", responses=READING, tags=["SLOs"], summary="Get a pool's rollout and its verdicts")
    def get_rollout(pool: PoolName) -> RolloutStatus:
        """Renewed each minute. The verdict of each SLO may be read at any time: its level holds for all readings together."""
        return status(service, require_pool(service, pool).name)

    @api.post(
        "/pools/{pool}/rollout", status_code=201, responses=WRITING, tags=["SLOs"], summary="Announce a pool's rollout"
    )
    def announce_rollout(pool: PoolName, body: RolloutRequest, request: Request) -> Announced:
        """It begins now and ends by itself. Another announcement takes its place: to end it early, announce it again with an earlier `to`."""
        name, now, end = require_pool(service, pool).name, service.clock(), body.until.timestamp()
        if not now < end <= now + LONGEST_HOURS * HOUR:
            raise ApiError(422, "invalid_time_range", f"to: must be after now and at most {LONGEST_HOURS} h ahead.")
        actor = author(request, body.actor, "actor")
        rollout = AnnouncedRollout(name, body.version, now, end, body.max_unavailable, actor, body.reason)
        announce(service.ledger.engine, rollout)
        return Announced.model_validate(rollout)


def _slo(rollout: Rollout, one: Judged) -> RolloutSlo:
    found = one.found
    verdict: Verdict = found.verdict if found else "undecided"
    text = f"{rollout.candidate} is " + TEXTS[verdict].format(baseline=rollout.baseline)
    counts = [RequestCounts(bad=bad, total=total) for bad, total in (one.baseline, one.candidate)]
    if found:
        ratios = [count.bad / count.total for count in counts]
        text += f" {ratios[1]:.2%} of its requests were bad, {ratios[0]:.2%} with {rollout.baseline}."
        if found.high < 1:
            text += f" Difference: {100 * found.low:.2f} to {100 * found.high:.2f} percentage points."
    return RolloutSlo(
        id=one.objective,
        verdict=verdict,
        baseline=counts[0],
        candidate=counts[1],
        bad_ratio_difference=found.difference if found else None,
        ci_lower=found.low if found else None,
        ci_upper=found.high if found else None,
        slots=found.slots if found else 0,
        summary=text,
    )

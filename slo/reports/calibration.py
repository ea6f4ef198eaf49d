"""Each pool's step times, fitted again and again to its source's last hour, and the last good fit kept."""

import msgspec
from pydantic import BaseModel, Field
from sqlalchemy import Engine

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.capacity.calibration.fit import calibrate
from plimsoll.slo.capacity.calibration.intervals import selectors
from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica, own, told
from plimsoll.slo.ledger.documents import CalibrationAttempt, last_attempt, save_attempt
from plimsoll.slo.reports.records import Records
from plimsoll.slo.sources import Source, SourceError
from plimsoll.slo.spec.objectives import Pool

SPAN = (
    3600.0  # seconds of samples that are read: a busy hour has batches enough, and more would be dear of a large pool
)


class CalibrationOut(BaseModel):
    """A replica's step times, fitted to the pool's own metrics: a step of b requests with K tokens in the KV cache takes base +
    per_sequence b + per_kv_token K seconds, and per_prompt and per_prompt_token more for prompts computed in it."""

    pool: str
    model: str
    gpu: str = Field(description="GPU of the pool's nodes, as the objectives file says.")
    gpus: int = Field(description="GPUs of a replica.")
    says: str = Field(description="The same in a sentence.")
    base: float
    per_sequence: float
    per_kv_token: float = Field(
        description="0: not told apart from per_sequence, as contexts differed too little from each other."
    )
    per_prompt: float
    per_prompt_token: float
    r_squared: float = Field(description="Share of the variance of steps that this explains.")
    error: float = Field(description="Median relative error of the steps of an interval between two scrapes.")
    intervals: int
    since: str
    until: str
    batches: tuple[float, float] = Field(description="Requests at a time, as seen: beyond, it is extrapolated.")
    contexts: tuple[float, float] = Field(description="Tokens of a request in the KV cache, as seen.")
    prompts: tuple[float, float] | None = Field(
        description="Tokens computed of a prompt, means of intervals, as seen; null: none was."
    )
    replicas: list[str]
    left_out: dict[str, float] = Field(
        description="Replicas unlike the median one, and how many times as long their steps take."
    )
    kv_tokens: int = Field(description="Tokens that a rank's KV cache holds, as its engine says.")
    most_running: int = Field(description="Most requests seen in a rank's batch; its limit is not published.")
    ranks: int = Field(description="Data-parallel ranks of a replica; the step times are of one.")
    simulated: bool


class PoolCalibration(BaseModel):
    """The last good fit of a pool. A newer, narrower one does not replace it while it holds."""

    pool: str
    last_attempt_at: str | None = Field(description="When the samples were last looked at; null: not yet.")
    calibration: CalibrationOut | None = Field(description="null: never enough was seen, for `reason`.")
    reason: str | None = Field(description="Why the last look gave no new fit; null: it did.")


def calibrate_pool(records: Records, source: Source, pool: Pool) -> None:
    """Fit a pool's step times to its last hour of samples, and keep the fit if it tells more than the one before."""
    now = records.clock()
    before = calibrated(records, pool)
    reason, kept = None, before
    try:
        series = source.series(selectors(pool), now - SPAN, now)
        found = calibrate(series)
    except SourceError as error:  # said here, and no reason to call the service not ready for the next ten minutes
        found = f"the source did not answer: {error}"
    if isinstance(found, str):
        reason = found
    elif before is not None and before.outlives(found, before.calibration.error_on(series)):
        low, high = found.batches
        reason = f"only batches of {low:.0f} to {high:.0f} requests were seen, which the last fit still tells"
    else:
        kept = own(pool, found)
    body = None if kept is None else msgspec.json.encode(kept).decode()
    save_attempt(records.ledger.engine, CalibrationAttempt(pool.name, now, reason, body))


def calibrated(records: Records, pool: Pool) -> MeasuredReplica | None:
    """Return the last good fit of what the pool runs today; None where there is none."""
    return kept_fit(records.ledger.engine, pool)


def calibration(records: Records, pool: Pool) -> PoolCalibration:
    """Tell what is known of a pool's step times."""
    look = last_attempt(records.ledger.engine, pool.name)
    if look is None:
        nothing = "nobody has looked yet: the service does so every ten minutes"
        return PoolCalibration(pool=pool.name, last_attempt_at=None, calibration=None, reason=nothing)
    kept = fit_of(look, pool)
    reason = look.reason
    if kept is None and reason is None:
        reason = "the last fit was of another model, other GPUs, or by another version of Plimsoll"
    return PoolCalibration(
        pool=pool.name,
        last_attempt_at=rfc3339(look.last_attempt_at),
        calibration=None if kept is None else CalibrationOut(**told(kept)),
        reason=reason,
    )


def kept_fit(engine: Engine, pool: Pool) -> MeasuredReplica | None:
    """Return the last good fit of what the pool runs today; None where there is none."""
    look = last_attempt(engine, pool.name)
    return None if look is None else fit_of(look, pool)


def fit_of(look: CalibrationAttempt, pool: Pool) -> MeasuredReplica | None:
    """Return the fit that a look has kept, if it is of what the pool runs today."""
    if look.body is None:
        return None
    try:
        kept = msgspec.json.decode(look.body, type=MeasuredReplica)
    except msgspec.ValidationError:  # of a version that told less: the next look tells it again
        return None
    return kept if kept.runs_as(pool) else None

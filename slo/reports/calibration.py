"""Each pool's step times, fitted again and again to its source's last hour, and the last good fit kept."""

from pydantic import BaseModel, Field
from sqlalchemy import Engine

from plimsoll.slo.capacity.calibration.fit import calibrate
from plimsoll.slo.capacity.calibration.intervals import selectors
from plimsoll.slo.capacity.calibration.measured_replica import (
    MeasuredReplica,
    from_json,
    measured_replica,
    sentence,
    to_json,
)
from plimsoll.slo.capacity.model.timestamp import Timestamp
from plimsoll.slo.ledger.documents import CalibrationAttempt, last_attempt, save_attempt
from plimsoll.slo.reports.records import Records
from plimsoll.slo.sources import Source, SourceError
from plimsoll.slo.spec.objectives import Pool

SPAN = (
    3600.0  # seconds of samples that are read: a busy hour has batches enough, and more would be dear of a large pool
)


class PoolCalibration(BaseModel):
    """The last good fit of a pool's step times. A newer, narrower one doesn't replace it while it holds."""

    pool: str
    last_attempt_at: Timestamp | None = Field(default=None, description="Time of the last attempt; null: none yet.")
    summary: str | None = Field(default=None, description="The step times in one sentence.")
    calibration: MeasuredReplica | None = Field(description="null: no fit was possible, for `reason`.")
    reason: str | None = Field(description="Why the last attempt gave no new fit; null: it did.")

    @classmethod
    def of(
        cls, pool: str, replica: MeasuredReplica | None, reason: str | None, at: float | None = None
    ) -> "PoolCalibration":
        """Return the fit of a pool, or the reason why there is none; `at` is the time of the last attempt in Unix seconds."""
        summary = None if replica is None else sentence(replica.step_times)
        return cls(pool=pool, last_attempt_at=at, summary=summary, calibration=replica, reason=reason)


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
    elif before is not None and before.outlives(found, before.step_times.error_on(series)):
        low, high = found.batch_size_range
        reason = f"only batches of {low:.0f} to {high:.0f} requests were seen, which the last fit still tells"
    else:
        kept = measured_replica(pool, found)
    body = None if kept is None else to_json(kept)
    save_attempt(records.ledger.engine, CalibrationAttempt(pool.name, now, reason, body))


def calibrated(records: Records, pool: Pool) -> MeasuredReplica | None:
    """Return the last good fit of what the pool runs today; None where there is none."""
    return kept_fit(records.ledger.engine, pool)


def calibration(records: Records, pool: Pool) -> PoolCalibration:
    """Return the last good fit of a pool's step times."""
    attempt = last_attempt(records.ledger.engine, pool.name)
    if attempt is None:
        return PoolCalibration.of(pool.name, None, "no attempt yet: the service tries every ten minutes")
    kept, reason = fit_of(attempt, pool), attempt.reason
    if kept is None and reason is None:
        reason = "the last fit was of another model, other GPUs, or another version of Plimsoll"
    return PoolCalibration.of(pool.name, kept, reason, attempt.last_attempt_at)


def kept_fit(engine: Engine, pool: Pool) -> MeasuredReplica | None:
    """Return the last good fit of what the pool runs today; None where there is none."""
    look = last_attempt(engine, pool.name)
    return None if look is None else fit_of(look, pool)


def fit_of(look: CalibrationAttempt, pool: Pool) -> MeasuredReplica | None:
    """Return the fit that a look has kept, if it is of what the pool runs today."""
    if look.body is None:
        return None
    try:
        kept = from_json(look.body)
    except ValueError:  # of a version that told less: the next look tells it again
        return None
    return kept if kept.runs_as(pool) else None

"""Fits each pool's step times to its last hour of samples, and stores the last good fit."""

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

SPAN = 3600.0  # seconds of samples per fit: enough batches of a busy hour; more would be costly for a large pool


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
    """Fit a pool's step times to its last hour of samples, and store the fit unless the one before covers more."""
    now = records.clock()
    before = calibrated(records, pool)
    reason, best = None, before
    try:
        series = source.series(selectors(pool), now - SPAN, now)
        found = calibrate(series)
    except SourceError as error:  # reported as the reason of the fit; the service stays ready
        found = f"source unavailable: {error}"
    if isinstance(found, str):
        reason = found
    elif before is not None and before.outlives(found, before.step_times.error_on(series)):
        low, high = found.batch_size_range
        reason = f"only batches of {low:.0f} to {high:.0f} requests; the last fit covers them"
    else:
        best = measured_replica(pool, found)
    body = None if best is None else to_json(best)
    save_attempt(records.ledger.engine, CalibrationAttempt(pool.name, now, reason, body))


def calibrated(records: Records, pool: Pool) -> MeasuredReplica | None:
    """Return the last good fit of the pool's current model and hardware; None without one."""
    return stored_fit(records.ledger.engine, pool)


def calibration(records: Records, pool: Pool) -> PoolCalibration:
    """Return the last good fit of a pool's step times."""
    attempt = last_attempt(records.ledger.engine, pool.name)
    if attempt is None:
        return PoolCalibration.of(pool.name, None, "no attempt yet: the service tries every ten minutes")
    fit, reason = fit_of(attempt, pool), attempt.reason
    if fit is None and reason is None:
        reason = "the last fit was of another model, other GPUs, or another version of Plimsoll"
    return PoolCalibration.of(pool.name, fit, reason, attempt.last_attempt_at)


def stored_fit(engine: Engine, pool: Pool) -> MeasuredReplica | None:
    """Return the last good fit of the pool's current model and hardware; None without one."""
    attempt = last_attempt(engine, pool.name)
    return None if attempt is None else fit_of(attempt, pool)


def fit_of(attempt: CalibrationAttempt, pool: Pool) -> MeasuredReplica | None:
    """Return the fit of an attempt if it is of the pool's current model and hardware."""
    if attempt.body is None:
        return None
    try:
        fit = from_json(attempt.body)
    except ValueError:  # from an older version: the next attempt replaces it
        return None
    return fit if fit.runs_as(pool) else None

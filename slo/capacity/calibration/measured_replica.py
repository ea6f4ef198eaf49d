"""A pool's own replica: its fitted step times, and its hardware from the objectives file."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from pydantic import Field, TypeAdapter

from plimsoll.slo.capacity.calibration.fit import Calibration
from plimsoll.slo.spec.objectives import Pool

CHANGED = 0.15  # median relative error on new samples above which a fit is obsolete
NARROW = 0.8  # share of a fit's batch range below which a newer fit does not replace it
LASTS = 7 * 86400.0  # seconds after which any newer fit replaces a fit


@dataclass(frozen=True, slots=True)
class MeasuredReplica:
    """One replica of a pool: the model's name, its GPUs, and its fitted step times."""

    pool: str
    model: str
    gpu: Annotated[str, Field(description="GPU of the pool's nodes, as in the objectives file.")]
    gpus: Annotated[int, Field(description="GPUs of a replica.")]
    step_times: Calibration

    def runs_as(self, pool: Pool) -> bool:
        """Whether the pool still has the model and hardware that were fitted."""
        return (self.pool, self.model, self.gpu, self.gpus) == (*_named(pool),)

    def outlives(self, newer: Calibration, error: float | None) -> bool:
        """Whether it is better to keep this one than `newer`, which was fitted later: it saw larger batches, and is neither old nor
        refuted. `error` is its own on what the newer one saw."""
        older = self.step_times
        return (
            newer.batch_size_range[1] < NARROW * older.batch_size_range[1]
            and newer.until - older.until < LASTS
            and error is not None
            and error <= CHANGED
        )


def measured_replica(pool: Pool, calibration: Calibration) -> MeasuredReplica:
    """Return a replica of the pool; nodes of several replicas share their GPUs evenly."""
    return MeasuredReplica(*_named(pool), calibration)


def _named(pool: Pool) -> tuple[str, str, str, int]:
    return pool.name, pool.model, pool.node.gpu, max(1, pool.node.gpus // pool.node.replicas)


_ADAPTER = TypeAdapter(MeasuredReplica)


def to_json(replica: MeasuredReplica) -> str:
    """Return the text that is stored."""
    return _ADAPTER.dump_json(replica, by_alias=True).decode()


def from_json(text: str) -> MeasuredReplica:
    """Read stored text; raises ValueError for anything else."""
    return _ADAPTER.validate_json(text)


def sentence(fit: Calibration) -> str:
    """Return one sentence about how long a step takes, with its error and its data."""
    terms = [
        f"{fit.base_seconds * 1e3:.2f} ms",
        *_term(fit.seconds_per_sequence, "sequence"),
        *_term(fit.seconds_per_kv_token, "token in the KV cache"),
        *_term(fit.seconds_per_prompt, "prompt"),
        *_term(fit.seconds_per_prompt_token, "prompt token"),
    ]
    low, high = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in (fit.since, fit.until))
    return (
        f"a step takes {' + '.join(terms)}; R² {fit.r_squared:.3f}, median error {fit.median_relative_error:.1%}, from {fit.intervals} intervals, "
        f"batches of {fit.batch_size_range[0]:.0f} to {fit.batch_size_range[1]:.0f}, {low} to {high} UTC"
    )


def _term(seconds: float, each: str) -> list[str]:
    if not seconds:
        return []
    unit, size = next(((unit, size) for unit, size in (("ms", 1e3), ("µs", 1e6)) if seconds * size >= 0.1), ("ns", 1e9))
    return [f"{seconds * size:.3g} {unit} per {each}"]

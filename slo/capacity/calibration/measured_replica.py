"""A pool's own replica: the step times that were fitted to it, and the hardware that the objectives file says it runs on."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from plimsoll.slo.capacity.calibration.fit import Calibration
from plimsoll.slo.spec.objectives import Pool

CHANGED = 0.15  # median error on new samples above which a fit no longer holds: what is predicted is to be within that
NARROW = 0.8  # times the batches that a fit has seen, below which a newer one tells less than it does
LASTS = 7 * 86400.0  # seconds after which a fit gives way to any newer one


@dataclass(frozen=True, slots=True)
class MeasuredReplica:
    """One replica of a pool: the model's name, its GPUs, and its fitted step times."""

    pool: str
    model: str
    gpu: str
    gpus: int
    calibration: Calibration

    def runs_as(self, pool: Pool) -> bool:
        """Whether the pool still has the model and hardware that were fitted."""
        return (self.pool, self.model, self.gpu, self.gpus) == (*_named(pool),)

    def outlives(self, newer: Calibration, error: float | None) -> bool:
        """Whether it is better to keep this one than `newer`, which was fitted later: it saw larger batches, and is neither old nor
        refuted. `error` is its own on what the newer one saw."""
        older = self.calibration
        return (
            newer.batches[1] < NARROW * older.batches[1]
            and newer.until - older.until < LASTS
            and error is not None
            and error <= CHANGED
        )


def own(pool: Pool, calibration: Calibration) -> MeasuredReplica:
    """Return a replica of the pool; nodes of several replicas share their GPUs evenly."""
    return MeasuredReplica(*_named(pool), calibration)


def _named(pool: Pool) -> tuple[str, str, str, int]:
    return pool.name, pool.model, pool.node.gpu, max(1, pool.node.gpus // pool.node.replicas)


def told(replica: MeasuredReplica) -> dict[str, Any]:
    """Write it as one JSON object; times as RFC 3339."""
    found: dict[str, Any] = msgspec.to_builtins(replica)
    fit = found.pop("calibration")
    for moment in ("since", "until"):
        fit[moment] = datetime.fromtimestamp(fit[moment], UTC).isoformat().replace("+00:00", "Z")
    return {**found, "says": sentence(replica.calibration), **fit}


def read(written: dict[str, Any]) -> MeasuredReplica:
    """Read what `told` wrote; raises ValueError that names the wrong field."""
    fit = {name: value for name, value in written.items() if name != "says"}
    try:
        for moment in ("since", "until"):
            fit[moment] = datetime.fromisoformat(fit[moment]).timestamp()
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"since and until: not RFC 3339: {error}") from error
    names = [name for name in MeasuredReplica.__slots__ if name != "calibration"]
    whole = {name: fit.pop(name) for name in names if name in fit}
    return msgspec.convert({**whole, "calibration": fit}, MeasuredReplica)


def sentence(fit: Calibration) -> str:
    """Say in one sentence how long a step takes, and how well and from what that is known."""
    terms = [
        f"{fit.base * 1e3:.2f} ms",
        *_term(fit.per_sequence, "sequence"),
        *_term(fit.per_kv_token, "token in the KV cache"),
        *_term(fit.per_prompt, "prompt"),
        *_term(fit.per_prompt_token, "prompt token"),
    ]
    low, high = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in (fit.since, fit.until))
    return (
        f"a step takes {' + '.join(terms)}; R² {fit.r_squared:.3f}, median error {fit.error:.1%}, from {fit.intervals} intervals, "
        f"batches of {fit.batches[0]:.0f} to {fit.batches[1]:.0f}, {low} to {high} UTC"
    )


def _term(seconds: float, each: str) -> list[str]:
    if not seconds:
        return []
    unit, size = next(((unit, size) for unit, size in (("ms", 1e3), ("µs", 1e6)) if seconds * size >= 0.1), ("ns", 1e9))
    return [f"{seconds * size:.3g} {unit} per {each}"]

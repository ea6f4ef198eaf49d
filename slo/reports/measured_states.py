"""Measured states of pools, as the ledger stores them."""

from plimsoll.slo.capacity.model import signals
from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.settings.models import SettingsAdvice
from plimsoll.slo.ledger.documents import measured_states_before, newest_measured_state, save_measured_state
from plimsoll.slo.ledger.slots import Ledger

LOOKED_THROUGH = 10_000  # stored recommendations: one a minute for a week


def newest_state(ledger: Ledger, pool: str, now: float) -> MeasuredState | None:
    """Return the state after a pool's last decision; None without one, or if it is older than signals.MEMORY: a decision before a long
    outage does not describe the pool after it."""
    body = newest_measured_state(ledger.engine, pool, now - signals.MEMORY, now)
    return None if body is None else MeasuredState.from_json(body)


def save_state(ledger: Ledger, pool: str, state: MeasuredState) -> None:
    """Store the state after a pool's last decision."""
    save_measured_state(ledger.engine, pool, state.at, state.to_json())


def throughput_before(ledger: Ledger, pool: str, before: float) -> ReplicaThroughput | None:
    """Return the saturation throughput as the last recommendation before a moment (Unix seconds) knew it; None where none did."""
    stored = map(MeasuredState.from_json, measured_states_before(ledger.engine, pool, before, LOOKED_THROUGH))
    return next((state.throughput for state in stored if state.throughput is not None), None)


def settings_advice(ledger: Ledger, pool: str, start: float, end: float) -> SettingsAdvice | None:
    """Return the last changes of settings that were simulated in a span (Unix seconds), as far as states of it are stored; None without."""
    newest = newest_measured_state(ledger.engine, pool, start, end)
    bodies = [*([newest] if newest else []), *measured_states_before(ledger.engine, pool, end, 1)]
    found = (MeasuredState.from_json(body).settings for body in bodies)
    return next((one for one in found if one is not None and start <= one.at < end), None)

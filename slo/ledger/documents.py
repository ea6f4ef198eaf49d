"""Saved documents: weekly reviews (one row per ISO week, never changed), their deliveries, and each pool's last calibration attempt."""

from typing import NamedTuple

from sqlalchemy import Engine, func, select

from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.rollup import insert
from plimsoll.slo.ledger.schema import calibrations, measured_states, recommendations, review_deliveries, reviews


class SavedReview(NamedTuple):
    """A review as it was generated: its ISO week, when (Unix seconds), and its JSON."""

    week: str
    generated_at: float
    body: str


def save_review(engine: Engine, review: SavedReview) -> None:
    """Save a week's review; an earlier one of the same week stays."""
    new = insert(engine.dialect.name, reviews).values(review._asdict())
    with writing(engine) as connection:
        connection.execute(new.on_conflict_do_nothing())


def saved_review(engine: Engine, week: str) -> SavedReview | None:
    """Return a week's saved review; None where there is none."""
    with engine.connect() as connection:
        row = connection.execute(select(reviews).where(reviews.c.week == week)).first()
        return None if row is None else SavedReview(*row)


def saved_weeks(engine: Engine, before: str | None, limit: int) -> list[tuple[str, float]]:
    """Return (week, when its review was generated), newest week first; only weeks before one, where it is given."""
    query = select(reviews.c.week, reviews.c.generated_at).order_by(reviews.c.week.desc()).limit(limit)
    with engine.connect() as connection:
        rows = connection.execute(query if before is None else query.where(reviews.c.week < before))
        return [(row.week, row.generated_at) for row in rows]


def last_saved_week(engine: Engine) -> str | None:
    """Return the newest week that has a saved review."""
    with engine.connect() as connection:
        return connection.execute(select(func.max(reviews.c.week))).scalar()


class Delivery(NamedTuple):
    """Attempts to send a week's saved review to a receiver: how many, the last one and the one that succeeded (Unix seconds)."""

    week: str
    receiver: str
    attempts: int
    last_attempt_at: float
    delivered_at: float | None


def save_delivery(engine: Engine, delivery: Delivery) -> None:
    """Save how far a delivery is."""
    new = insert(engine.dialect.name, review_deliveries).values(delivery._asdict())
    values = {name: new.excluded[name] for name in ("attempts", "last_attempt_at", "delivered_at")}
    with writing(engine) as connection:
        connection.execute(new.on_conflict_do_update(index_elements=["week", "receiver"], set_=values))


def deliveries(engine: Engine, week: str) -> dict[str, Delivery]:
    """Return what was attempted for a week's review, by receiver."""
    with engine.connect() as connection:
        rows = connection.execute(select(review_deliveries).where(review_deliveries.c.week == week))
        return {row.receiver: Delivery(*row) for row in rows}


class CalibrationAttempt(NamedTuple):
    """A pool's last calibration: when it was attempted (Unix seconds), why it gave no new fit (None: it did), and the last good fit as JSON."""

    pool: str
    last_attempt_at: float
    reason: str | None
    body: str | None


def save_attempt(engine: Engine, attempt: CalibrationAttempt) -> None:
    """Save a pool's last attempt."""
    new = insert(engine.dialect.name, calibrations).values(attempt._asdict())
    values = {name: new.excluded[name] for name in CalibrationAttempt._fields if name != "pool"}
    with writing(engine) as connection:
        connection.execute(new.on_conflict_do_update(index_elements=[calibrations.c.pool], set_=values))


def last_attempt(engine: Engine, pool: str) -> CalibrationAttempt | None:
    """Return a pool's last attempt; None before the first."""
    with engine.connect() as connection:
        row = connection.execute(select(calibrations).where(calibrations.c.pool == pool)).first()
        return None if row is None else CalibrationAttempt(*row)


def save_measured_state(engine: Engine, pool: str, at: float, body: str) -> None:
    """Store the state of a pool at `at` (Unix seconds), as JSON text, in place of the one before."""
    new = insert(engine.dialect.name, measured_states).values(pool=pool, at=at, body=body)
    values = {name: new.excluded[name] for name in ("at", "body")}
    with writing(engine) as connection:
        connection.execute(new.on_conflict_do_update(index_elements=[measured_states.c.pool], set_=values))


def newest_measured_state(engine: Engine, pool: str, since: float, until: float) -> str | None:
    """Return the newest state of a pool, as JSON text; None where none is stored, or only one from outside [since, until] (Unix
    seconds): one of the future was stored by a clock that was ahead."""
    of_pool = select(measured_states.c.body).where(measured_states.c.pool == pool)
    query = of_pool.where(measured_states.c.at >= since, measured_states.c.at <= until)
    with engine.connect() as connection:
        return connection.execute(query).scalar()


def measured_states_before(engine: Engine, pool: str, before: float, limit: int) -> list[str]:
    """Return the states with a pool's newest recommendations before a moment (Unix seconds), as JSON text, newest first."""
    stored = recommendations.c
    query = select(stored.measured_state).where(
        stored.pool == pool, stored.at < before, stored.measured_state.is_not(None)
    )
    with engine.connect() as connection:
        return list(connection.execute(query.order_by(stored.at.desc()).limit(limit)).scalars())

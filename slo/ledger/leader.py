"""The leader's lease: one row of the ledger shows which service leads, and until when by the database's clock.

A leader that is killed, stopped, or cut off no longer renews its lease, and another service takes over. Each take-over
increments the epoch, and each transaction of a leader's job checks holder and epoch under the writers' lock
(plimsoll.slo.ledger.database.writing), as a take-over does. So a leader that was stopped and continues after another took over writes nothing.
No clock of a service decides.

Two services on one SQLite file are the exception, not the rule, and a restart must not wait for the lease of the process
before it: there, a service that starts takes the lead at once, and one that ran before it follows.
"""

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from uuid import uuid4

from sqlalchemy import Connection, Engine, Float, Row, literal_column, select
from sqlalchemy.exc import SQLAlchemyError

from plimsoll.slo.ledger.database import DatabaseError, reason, reject_writes, require, writing
from plimsoll.slo.ledger.schema import leadership

log = logging.getLogger("plimsoll.ledger")
LEASE_SECONDS = 20.0  # after the last renewal, another service may take over
RENEW_SECONDS = 15.0  # a lease with less than this left is renewed: about every 5 s
RESIGN_SECONDS = 5.0  # to wait for a renewal that goes on meanwhile
# Fewer renewals than before, by more than these, are those of an older state that was restored. A standby database that took over
# may lack the last few: some minutes, which are recorded again like all slots that young.
LOST_RENEWALS = 30
NOW = {
    "postgresql": literal_column("extract(epoch from clock_timestamp())", Float),
    "sqlite": literal_column("(julianday('now') - 2440587.5) * 86400.0", Float),
}


class LostLeadError(DatabaseError):
    """Another service leads: the transaction of this one was rolled back."""


class Leader:
    """This service's claim to lead. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._now = engine, NOW[engine.dialect.name]
        self.holder = f"{socket.gethostname()[:150]} {uuid4()}"
        self._epoch: int | None = None  # of this service's own term; None: it doesn't lead
        self._renewals = 0  # as this service last saw them
        self._claims_at_once = engine.dialect.name == "sqlite"
        self._retired = False
        self._lock = Lock()

    @property
    def leads(self) -> bool:
        """Whether this service led when it last renewed."""
        return self._epoch is not None

    def renew(self) -> None:
        """Renew this service's lease, or take over one that ended. Raises SQLAlchemyError."""
        with self._lock:
            if self._retired:
                return
            row, left = self._read()
            # More than a lease can have left is from a clock that was ahead.
            valid = 0 < left <= LEASE_SECONDS and not self._claims_at_once
            if self._holds(row) and valid and left > RENEW_SECONDS:
                return
            if not self._holds(row):
                self._lose(row)
                if valid:
                    return
            self._take(row.renewals)

    def resign(self, for_good: bool = False) -> None:
        """End the lease, if this service has it, before the call returns: the next one that asks leads. `for_good`: never lead again,
        even if a job that still runs asks. Where the database doesn't answer, the lease ends by itself."""
        if not self._lock.acquire(timeout=RESIGN_SECONDS):
            return
        try:
            self._retired = for_good
            epoch, self._epoch = self._epoch, None
            if epoch is not None:
                self._end(epoch)
        except SQLAlchemyError as error:
            log.info("the lease ends by itself: %s", reason(error))
        finally:
            self._lock.release()

    def _end(self, epoch: int) -> None:
        mine = (leadership.c.holder == self.holder, leadership.c.epoch == epoch)
        with writing(self._engine) as connection:
            more = leadership.c.renewals + 1
            connection.execute(leadership.update().where(*mine).values(expires_at=0.0, renewals=more))

    @contextmanager
    def term(self) -> Iterator[None]:
        """Let every transaction of this thread that writes check first that this service still leads (LostLeadError)."""
        with require(self._check(self._epoch)):
            yield

    def _check(self, epoch: int | None) -> Callable[[Connection], None]:
        def check(connection: Connection) -> None:
            row = connection.execute(select(leadership.c.holder, leadership.c.epoch)).one()
            if tuple(row) != (self.holder, epoch):
                raise LostLeadError(f"{row.holder} leads")

        return check

    def _read(self) -> tuple[Row[tuple[str, str, int, int, float]], float]:
        with self._engine.connect() as connection:
            *_, now = row = connection.execute(select(leadership, self._now.label("now"))).one()
        if row.renewals < self._renewals - LOST_RENEWALS:
            reject_writes(
                self._engine, "the ledger was restored to an older state while in use. Restart the service to use it"
            )
        self._renewals = row.renewals
        return row, row.expires_at - now

    def _holds(self, row: Row[tuple[str, str, int, int, float]]) -> bool:
        return (row.holder, row.epoch) == (self.holder, self._epoch)

    def _lose(self, row: Row[tuple[str, str, int, int, float]]) -> None:
        if self._epoch is not None:
            log.warning("another service leads: %s", row.holder)
        self._epoch = None

    def _take(self, renewals: int) -> None:
        """Renew or take over, unless another service has written the row since it was read."""
        epoch = leadership.c.epoch + (0 if self.leads else 1)
        values = {"holder": self.holder, "epoch": epoch, "renewals": renewals + 1}
        same = leadership.update().where(leadership.c.renewals == renewals)
        with writing(self._engine) as connection:
            taken = connection.execute(same.values(**values, expires_at=self._now + LEASE_SECONDS)).rowcount
            now_held = connection.execute(select(leadership.c.epoch)).scalar_one()
        if not taken:
            self._epoch = None
            return
        if not self.leads:
            log.info("this service leads (epoch %d)", now_held)
        self._epoch, self._renewals, self._claims_at_once = now_held, renewals + 1, False

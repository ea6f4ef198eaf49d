"""Leader election of services on one PostgreSQL: the leader's connection holds an advisory lock.

PostgreSQL gives the lock up with the connection, so a killed leader is followed by the next one that asks. Two that both
think they lead for a moment do no harm: every write is idempotent. On SQLite each service leads; there is one, as a rule.
"""

from contextlib import suppress
from threading import Lock

from sqlalchemy import Connection, Engine, NullPool, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

LEADER = 0x504C494E  # any constant, other than the writers' lock of plimsoll.slo.ledger.database


class Leader:
    """This service's claim to lead, until it resigns or its ledger's engine is disposed of."""

    def __init__(self, engine: Engine) -> None:
        # Without a connection pool: a pooled connection stays open after close(), and would hold the lock.
        postgresql = engine.dialect.name == "postgresql"
        self._engine = create_engine(engine.url, poolclass=NullPool) if postgresql else None
        self._connection: Connection | None = None
        self._lock = Lock()
        event.listen(engine, "engine_disposed", lambda _: self.resign())

    def leads(self) -> bool:
        """Whether this service leads now; takes the lead if no service has it."""
        if self._engine is None:
            return True
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._claim(self._engine)
                elif self._connection.execute(text("SELECT 1")).scalar() != 1:
                    self._drop()
            except SQLAlchemyError:
                self._drop()
            return self._connection is not None

    def resign(self) -> None:
        """Let another one lead."""
        with self._lock:
            self._drop()

    def _claim(self, engine: Engine) -> Connection | None:
        connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LEADER}).scalar():
            return connection
        connection.close()
        return None

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(SQLAlchemyError):
                self._connection.close()
            self._connection = None

"""Opening the ledger's database and bringing its tables up to date. SQLite by default, PostgreSQL for several replicas."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

WRITING = "plimsoll_writing"  # execution option of a transaction that will write
BUSY_TIMEOUT_SECONDS = 10  # seconds to wait for another writer
LOCK = 0x504C494D  # PostgreSQL's advisory lock for writing slots and migrating; an arbitrary constant


class DatabaseError(SQLAlchemyError):
    """This version can't use the database; the message states the fix."""


def open_database(url: str) -> Engine:
    """Connect to a database by SQLAlchemy URL and bring it up to date; raises SQLAlchemyError (DatabaseError among them)."""
    place = make_url(url)
    if place.drivername == "postgresql":
        place = place.set(drivername="postgresql+psycopg")
    engine = create_engine(place, pool_pre_ping=place.get_backend_name() == "postgresql")
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    elif engine.dialect.name != "postgresql":
        raise DatabaseError(f"{engine.dialect.name} isn't supported. Use sqlite:///FILE or postgresql://HOST/NAME.")
    try:
        _migrate(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that writes to the ledger; it is committed at the end of the block, or rolled back by an error.

    Only one is open at a time (the next one waits), because roll-ups are sums over what all writers wrote.
    """
    with engine.execution_options(**{WRITING: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield connection


def reason(error: SQLAlchemyError) -> str:
    """Return the database's own error in one line, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(cause).split())


def migrations() -> Config:
    """Return Alembic's configuration of the ledger's migrations; a connection in its `attributes` is what they run on."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _migrate(engine: Engine) -> None:
    config = migrations()
    script = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        version = MigrationContext.configure(connection).get_current_revision()
    if version == script.get_current_head():
        return
    if version is not None and version not in {step.revision for step in script.walk_revisions()}:
        raise DatabaseError(f"its tables have version {version}, which is newer than this Plimsoll. Upgrade Plimsoll.")
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _configure_sqlite(connection: Any, _: object) -> None:
    """Write ahead, flush each commit to disk (a SIGKILL or power cut loses nothing recorded), wait for another writer."""
    connection.isolation_level = None  # Python's sqlite3 would begin transactions by itself, and none for DDL
    cursor = connection.cursor()
    for pragma in (f"busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    _write_ahead(cursor)
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Switch to write-ahead mode once. SQLite does not wait for a concurrent switch, even with a busy_timeout."""
    end = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def _begin_sqlite(connection: Connection) -> None:
    """Lock at once in a transaction that will write: one that reads first may find that another has written since."""
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITING) else "BEGIN")

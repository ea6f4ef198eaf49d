"""Opening the ledger's database and bringing its tables up to date. SQLite by default, PostgreSQL for several replicas."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from plimsoll.slo.ledger.schema import leadership
from plimsoll.slo.ledger.sqlite_file import WRITING, DatabaseError, OpenFile

__all__ = ["DatabaseError"]
IDENTITY, REJECTED, FILE = "plimsoll_identity", "plimsoll_rejected", "plimsoll_file"  # of an engine's execution options
LOCK = 0x504C494D  # PostgreSQL's advisory lock for writing slots and migrating; an arbitrary constant
# Limits of PostgreSQL's sessions, in milliseconds or seconds, so that a request fails within seconds instead of hanging, and a
# service that is stopped or cut off within a transaction doesn't block the others: the server ends its session.
SESSION = {
    "lock_timeout": "10s",
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "20s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "20000",
}
CLIENT = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
    "application_name": "plimsoll",
    "client_encoding": "utf8",  # by default that of the server: psycopg would return bytes from one of SQL_ASCII
}
POOL_TIMEOUT_SECONDS = 10  # to wait for a connection of the pool
# What a transaction of this thread checks before it writes.
_REQUIRED: ContextVar[Callable[[Connection], None] | None] = ContextVar("required", default=None)


def open_database(url: str) -> Engine:
    """Connect to a database by SQLAlchemy URL and bring it up to date; raises SQLAlchemyError (DatabaseError among them)."""
    engine = _engine(make_url(url))
    try:
        _migrate(engine)
        with engine.connect() as connection:
            identity = connection.execute(select(leadership.c.ledger)).scalar_one()
        engine.update_execution_options(**{IDENTITY: identity})
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction that writes to the ledger; it is committed at the end of the block, or rolled back by an error.

    Only one is open at a time (the next one waits), because roll-ups are sums over what all writers wrote. Raises DatabaseError
    where the database is no longer the one that was opened, and what `require` asks for.
    """
    with _locked(engine) as connection:
        options = engine.get_execution_options()
        if REJECTED in options:
            raise DatabaseError(options[REJECTED])
        if connection.execute(select(leadership.c.ledger)).scalar() != options[IDENTITY]:
            reject_writes(engine, "another ledger was put in its place while in use. Restart the service to use it")
        check = _REQUIRED.get()
        if check is not None:
            check(connection)
        yield connection
    if FILE in options:  # deleted meanwhile: the commit went into a file that has no name any more
        options[FILE].require()


@contextmanager
def require(check: Callable[[Connection], None]) -> Iterator[None]:
    """Let every transaction of this thread within the block run a check before it writes; its error rolls the transaction back."""
    token = _REQUIRED.set(check)
    try:
        yield
    finally:
        _REQUIRED.reset(token)


def reject_writes(engine: Engine, message: str) -> NoReturn:
    """Raise DatabaseError now and in every transaction that would write, until the database is opened again."""
    engine.update_execution_options(**{REJECTED: message})
    raise DatabaseError(message)


def reason(error: SQLAlchemyError) -> str:
    """Return the database's own error in one line, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(cause).split())


def migrations() -> Config:
    """Return Alembic's configuration of the ledger's migrations; a connection in its `attributes` is what they run on."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _engine(place: URL) -> Engine:
    kind = place.get_backend_name()
    if kind == "sqlite":
        engine = create_engine(place)
        engine.update_execution_options(**{FILE: OpenFile(engine)})
    elif kind == "postgresql":
        if place.drivername == "postgresql":
            place = place.set(drivername="postgresql+psycopg")
        given = {name: value for name, value in CLIENT.items() if name not in place.query}
        engine = create_engine(place, pool_pre_ping=True, pool_timeout=POOL_TIMEOUT_SECONDS, connect_args=given)
        event.listen(engine, "connect", _configure_postgresql)
    else:
        raise DatabaseError(f"{kind} isn't supported. Use sqlite:///FILE or postgresql://HOST/NAME.")
    return engine


def _configure_postgresql(connection: Any, _: object) -> None:
    connection.autocommit = True  # a setting of a transaction that is rolled back is lost
    with connection.cursor() as cursor:
        for name, value in SESSION.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
    connection.autocommit = False


@contextmanager
def _locked(engine: Engine, patient: bool = False) -> Iterator[Connection]:
    """Begin a transaction that no other writer's overlaps; `patient`: however long that takes."""
    with engine.execution_options(**{WRITING: True}).begin() as connection:
        if engine.dialect.name == "postgresql":
            if patient:
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        yield connection


def _migrate(engine: Engine) -> None:
    config = migrations()
    script = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            _require_unicode(connection)
        version = MigrationContext.configure(connection).get_current_revision()
    if version == script.get_current_head():
        return
    if version is not None and version not in {step.revision for step in script.walk_revisions()}:
        raise DatabaseError(f"its tables have version {version}, which is newer than this Plimsoll. Upgrade Plimsoll.")
    with _locked(engine, patient=True) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _require_unicode(connection: Connection) -> None:
    encoding = connection.execute(text("SHOW server_encoding")).scalar()
    if encoding != "UTF8":
        raise DatabaseError(
            f"its encoding is {encoding}, which can't store every name. "
            "Create it with `CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0`."
        )

"""The ledger's database over the years: an old one is brought up to date with nothing lost, and what is wrong is said."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from plimsoll.slo.ledger.database import SESSION, DatabaseError, open_database, reason, writing
from plimsoll.slo.ledger.rollup import DAY, HOUR
from plimsoll.slo.ledger.schema import metadata
from plimsoll.slo.ledger.slots import Ledger, write_audit_event
from plimsoll.slo.sli.increments import SlotCount
from postgresql import PostgreSQL

Opener = Callable[[str], Ledger]
# The tables as they were before a database had a version, as SQLAlchemy wrote them then.
FIRST = """
CREATE TABLE slots (objective VARCHAR(63) NOT NULL, slot BIGINT NOT NULL, good BIGINT NOT NULL, total BIGINT NOT NULL,
 covered_seconds FLOAT NOT NULL, spec_hash VARCHAR(12) NOT NULL, source VARCHAR(63) NOT NULL, PRIMARY KEY (objective, slot));
CREATE TABLE progress (objective VARCHAR(63) NOT NULL, booked_until BIGINT NOT NULL, PRIMARY KEY (objective));
CREATE TABLE recommendations (pool VARCHAR(63) NOT NULL, at BIGINT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (pool, at));
INSERT INTO slots VALUES ('fast', 86400, 90, 100, 299.9996, 'hash', 'request');
INSERT INTO slots VALUES ('fast', 86700, 7, 7, 0.1, 'hash', 'request+simulated');
INSERT INTO slots VALUES ('fast', 90000, 1, 2, 0.2, 'hash', 'bucket');
INSERT INTO progress VALUES ('fast', 89700);
INSERT INTO recommendations VALUES ('pool', 5, '{"action": "hold"}')
"""


def test_an_old_database_is_brought_up_to_date_with_nothing_lost(database: str, open_ledger: Opener) -> None:
    old = create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    with old.begin() as connection:
        for statement in FIRST.split(";"):
            connection.execute(text(statement))
    old.dispose()
    for ledger in (open_ledger(database), open_ledger(database)):
        assert [tuple(slot) for slot in ledger.slots("fast", 0, 1e6)] == [
            (86400, 90, 100, 300.0, "hash", "per_request", 0),
            (86700, 7, 7, 0.1, "hash", "per_request+simulated", 0),
            (90000, 1, 2, 0.2, "hash", "exact_bucket", 0),
        ]
        assert ledger.rows("fast", HOUR, 0, 10**6) == [(86400, 97, 107, 300_100, 0), (90000, 1, 2, 200, 0)]
        assert ledger.rows("fast", DAY, 0, 10**6) == [(86400, 98, 109, 300_300, 0)]
        assert ledger.recorded_until() == {"fast": 89700}
        assert ledger.recommendations("pool", 5) == [{"action": "hold"}]
        assert ledger.segments([86400, 86700, 172800], ["fast"])["fast"] == [
            (90, 100, 300_000, False, 0),
            (8, 9, 300, True, 0),
        ]


def test_migrations_lead_to_the_tables_that_the_code_knows(database: str, open_ledger: Opener) -> None:
    with open_ledger(database).engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_a_database_of_a_newer_version_is_refused_and_left_alone(database: str, open_ledger: Opener) -> None:
    ledger = open_ledger(database)
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="version 9999, which is newer than this Plimsoll"):
        open_database(database)


def test_services_that_start_at_once_on_an_empty_database_all_come_up(database: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        engines = list(pool.map(open_database, [database] * 4))
    for engine in engines:
        assert Ledger(engine).recorded_until() == {}
        engine.dispose()


def test_nobody_changes_the_audit(database: str, open_ledger: Opener) -> None:
    engine = open_ledger(database).engine
    with writing(engine) as connection:
        write_audit_event(connection, 5.0, ("ann", "a drill"), ("exclusion added", "x"), None, {"start": 1})
    for statement in ("UPDATE audit SET actor = 'bob'", "DELETE FROM audit"):
        with pytest.raises(SQLAlchemyError, match="audit rows are kept as written"), engine.begin() as connection:
            connection.execute(text(statement))


def test_two_writers_take_turns_and_lose_nothing(database: str, open_ledger: Opener) -> None:
    ledgers = [open_ledger(database) for _ in range(3)]

    def book(number: int) -> None:
        ledger = ledgers[number % len(ledgers)]
        ledger.record({("fast", "hash"): [SlotCount(300 * number, number, number, 300.0, "per_request")]}, 300 * number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(book, range(60)))
    assert [slot.total for slot in ledgers[0].slots("fast", 0, 1e6)] == list(range(60))
    assert sum(row[2] for row in ledgers[0].rows("fast", HOUR, 0, 10**6)) == sum(range(60))
    assert [row[2] for row in ledgers[0].rows("fast", DAY, 0, 10**6)] == [sum(range(60))]
    assert ledgers[0].recorded_until() == {"fast": 59 * 300}


def test_a_full_disk_and_a_read_only_database_are_named_and_nothing_stored_is_lost(
    tmp_path: Path, open_ledger: Opener
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ledger.record({("fast", "hash"): [SlotCount(0, 1, 2, 300.0, "per_request")]}, 300)
    many = [SlotCount(300 * number, 1, 1, 300.0, "per_request") for number in range(1, 20_000)]
    ledger.engine.dispose()
    # SQLite's own limit, set on the next connection, gives its own "disk is full".
    event.listen(ledger.engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 60"))
    with pytest.raises(SQLAlchemyError) as full:
        ledger.record({("fast", "hash"): many}, 300 * 20_000)
    assert reason(full.value) == "database or disk is full"
    locked = open_ledger(f"sqlite:///file:{tmp_path}/ledger.db?mode=ro&uri=true")
    with pytest.raises(SQLAlchemyError) as rejected:
        locked.record({("fast", "hash"): many[:1]}, 600)
    assert reason(rejected.value) == "attempt to write a readonly database"
    for survivor in (ledger, locked):
        assert [slot.total for slot in survivor.slots("fast", 0, 1e9)] == [2]
        assert survivor.recorded_until() == {"fast": 300}


def test_a_ledger_in_memory_is_a_ledger(open_ledger: Opener) -> None:
    assert open_ledger("sqlite://").recorded_until() == {}


@pytest.mark.postgresql
def test_a_database_that_cannot_store_every_name_is_refused_with_the_fix(postgresql: PostgreSQL) -> None:
    url = postgresql.database("ENCODING 'SQL_ASCII' TEMPLATE template0")
    with pytest.raises(DatabaseError, match=r"SQL_ASCII.*ENCODING 'UTF8'") as error:
        open_database(url)
    assert "\n" not in reason(error.value)


@pytest.mark.postgresql
def test_a_writer_that_waits_for_another_gives_up_within_seconds(postgresql: PostgreSQL, open_ledger: Opener) -> None:
    url = postgresql.database()
    held, waits = open_ledger(url), open_ledger(url)
    event.listen(
        waits.engine, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL lock_timeout = '100ms'")
    )
    with writing(held.engine), pytest.raises(SQLAlchemyError, match="lock timeout"):
        waits.record({}, 0, {"pool": []})
    waits.record({}, 0, {"pool": []})


@pytest.mark.postgresql
def test_sessions_have_limits_that_a_rollback_does_not_lift(postgresql: PostgreSQL, open_ledger: Opener) -> None:
    engine = open_ledger(postgresql.database()).engine
    for _ in range(2):
        with engine.connect() as connection:
            found = {name: connection.execute(text(f"SHOW {name}")).scalar() for name in SESSION if "tcp" not in name}
            assert found == {name: value.replace("60s", "1min") for name, value in SESSION.items() if "tcp" not in name}
            connection.rollback()

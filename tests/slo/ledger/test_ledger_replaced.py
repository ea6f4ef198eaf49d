"""A ledger that is deleted, replaced or restored while it is in use: said, and nothing is accepted that would be lost."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text

from plimsoll.slo.ledger.database import DatabaseError, open_database
from plimsoll.slo.ledger.leader import LOST_RENEWALS
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from postgresql import PostgreSQL
from service_world import INCIDENT, NOW, world
from world import spec

Opener = Callable[[str], Ledger]
COUNTS = {("fast", "hash"): [SlotCount(300, 1, 2, 300.0, "per_request")]}


def running(ledger: Ledger) -> Service:
    """A service that has recorded, and is ready."""
    service = Service(spec(), world(), ledger, clock=lambda: NOW)
    service.ingest()
    assert service.not_ready_reasons() == []
    return service


def rejects(service: Service) -> list[str]:
    """Expect that nothing is accepted or recorded, and that the service says so without its traceback; return the reasons."""
    client = TestClient(create_app(service))
    answer = client.post("/api/v1/exclusions", json=INCIDENT)
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
    service.ingest()
    assert client.get("/-/healthy").status_code == 200
    ready = client.get("/-/ready")
    assert (ready.status_code, ready.json()["code"]) == (503, "not_ready")
    assert client.get("/metrics").status_code == 200
    reasons = service.not_ready_reasons()
    assert reasons
    assert not any("internal error" in one for one in reasons)
    return reasons


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    other = open_database(f"sqlite:///{path}.other")
    other.dispose()
    Path(f"{path}.other").rename(path)


def empty(path: Path) -> None:
    path.unlink()
    path.touch()


def move_folder(path: Path) -> None:
    path.parent.rename(path.parent.with_name("elsewhere"))


@pytest.mark.parametrize("happens", [remove, replace, empty, move_folder])
def test_a_file_that_is_no_longer_there_accepts_nothing(
    happens: Callable[[Path], None], tmp_path: Path, open_ledger: Opener
) -> None:
    path = tmp_path / "here" / "ledger.db"
    path.parent.mkdir()
    service = running(open_ledger(f"sqlite:///{path}"))
    happens(path)
    there = path.read_bytes() if path.exists() else None
    reasons = rejects(service)
    assert any(str(path) in one for one in reasons)
    assert (path.read_bytes() if path.exists() else None) == there, "and no file is created or written in its place"


def test_a_file_that_is_deleted_within_a_transaction_is_said_to_the_writer(tmp_path: Path, open_ledger: Opener) -> None:
    path = tmp_path / "ledger.db"
    ledger = open_ledger(f"sqlite:///{path}")
    event.listen(ledger.engine, "commit", lambda _: path.unlink())
    with pytest.raises(DatabaseError):
        ledger.record(COUNTS, 300)


def test_a_file_that_is_put_back_is_used_again(tmp_path: Path, open_ledger: Opener) -> None:
    path = tmp_path / "ledger.db"
    service = running(open_ledger(f"sqlite:///{path}"))
    path.rename(f"{path}.away")
    rejects(service)
    Path(f"{path}.away").rename(path)
    service.ingest()
    assert service.not_ready_reasons() == []
    assert TestClient(create_app(service)).post("/api/v1/exclusions", json=INCIDENT).status_code == 201


def test_a_file_that_cannot_be_written_for_a_while_is_named_and_used_again(tmp_path: Path, open_ledger: Opener) -> None:
    service = running(open_ledger(f"sqlite:///{tmp_path}/ledger.db"))
    engine, flags = service.ledger.engine, ["PRAGMA query_only = ON"]
    event.listen(engine, "checkout", lambda connection, *_: connection.execute(flags[0]))
    assert any("readonly" in one for one in rejects(service))
    flags[0] = "PRAGMA query_only = OFF"
    service.ingest()
    assert service.not_ready_reasons() == []


def test_a_standby_database_that_lacks_the_last_renewals_is_the_same_ledger(database: str, open_ledger: Opener) -> None:
    service = running(open_ledger(database))
    with service.ledger.engine.begin() as connection:
        connection.execute(text("UPDATE leadership SET renewals = renewals + :lost"), {"lost": LOST_RENEWALS})
    assert service.leads()
    with service.ledger.engine.begin() as connection:
        connection.execute(text("UPDATE leadership SET renewals = renewals - :lost"), {"lost": LOST_RENEWALS})
    service.ingest()
    assert (service.not_ready_reasons(), service.leading) == ([], True)
    service.leader.resign()


def test_an_older_state_that_is_restored_in_place_is_noticed(database: str, open_ledger: Opener) -> None:
    service = running(open_ledger(database))
    with service.ledger.engine.begin() as connection:
        before = connection.execute(text("SELECT holder, epoch, renewals, expires_at FROM leadership")).one()
        connection.execute(text("UPDATE leadership SET expires_at = 0, renewals = renewals + 32"))
    service.ingest()
    assert service.not_ready_reasons() == []
    with service.ledger.engine.begin() as connection:
        statement = (
            "UPDATE leadership SET holder = :holder, epoch = :epoch, renewals = :renewals, expires_at = :expires_at"
        )
        connection.execute(text(statement), before._asdict())
    service.ingest()  # notices
    assert any("older state" in one for one in rejects(service))


def test_another_ledger_in_the_same_place_is_noticed(database: str, open_ledger: Opener) -> None:
    service = running(open_ledger(database))
    with service.ledger.engine.begin() as connection:
        connection.execute(text("UPDATE leadership SET ledger = 'another', expires_at = 0"))
    assert any("another ledger" in one for one in rejects(service))


@pytest.mark.postgresql
def test_a_service_goes_on_after_a_restart_of_postgresql(open_ledger: Opener) -> None:
    with PostgreSQL("fsync=off") as own:
        service = running(open_ledger(own.database()))
        own.start("restart")
        service.ingest()
        service.ingest()
        assert service.not_ready_reasons() == []
        assert service.leading
        service.leader.resign()


def test_a_copy_by_sqlite_itself_over_the_open_file_is_noticed(tmp_path: Path, open_ledger: Opener) -> None:
    path = tmp_path / "ledger.db"
    service = running(open_ledger(f"sqlite:///{path}"))
    with closing(sqlite3.connect(path)) as now, closing(sqlite3.connect(tmp_path / "older.db")) as older:
        now.backup(older)
    with service.ledger.engine.begin() as connection:
        connection.execute(text("UPDATE leadership SET expires_at = 0, renewals = renewals + 32"))
    service.ingest()
    with closing(sqlite3.connect(path)) as now, closing(sqlite3.connect(tmp_path / "older.db")) as older:
        older.backup(now)
    service.ingest()
    assert any("older state" in one for one in rejects(service))
    shutil.rmtree(tmp_path)

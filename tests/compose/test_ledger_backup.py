"""`plimsoll ledger backup` as an operator meets it: while the service writes, restored as the documentation says, refused in one line."""

import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from paths import ROOT
from plimsoll.compose.cli import main
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.sli.increments import SlotCount
from process import environment, rejected

Opener = Callable[[str], Ledger]


def record(ledger: Ledger, numbers: range) -> None:
    for number in numbers:
        ledger.record({("fast", "hash"): [SlotCount(300 * number, number, number, 300.0, "per_request")]}, 300 * number)


def totals(ledger: Ledger) -> list[int]:
    return [slot.total for slot in ledger.slots("fast", 0, 1e9)]


def test_a_backup_of_a_ledger_that_is_written_to_is_one_moment_of_it(tmp_path: Path, open_ledger: Opener) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    ledger = open_ledger(url)
    record(ledger, range(50))
    end = threading.Event()

    def write() -> None:
        number = 50
        while not end.is_set():
            record(ledger, range(number, number + 1))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            assert main(["ledger", "backup", str(tmp_path / f"copy{number}.db"), "--db", url]) == 0
    finally:
        end.set()
        writer.join(30)
    for number in range(5):
        copy = open_ledger(f"sqlite:///{tmp_path}/copy{number}.db")
        found = totals(copy)
        assert found == list(range(len(found)))
        assert len(found) >= 50
        assert copy.recorded_until() == {"fast": 300 * found[-1]}
        assert sum(row[2] for row in copy.rows("fast", 3600, 0, 10**6)) == sum(found)
    assert len(totals(ledger)) > 50, "the writer went on"
    assert not list(tmp_path.glob("*.partial"))


def test_a_backup_is_restored_as_the_documentation_says(tmp_path: Path, open_ledger: Opener) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    (tmp_path / "work").mkdir()
    record(open_ledger(url), range(20))
    copy = tmp_path / "ledger-2026-11-21.db"
    (tmp_path / "ledger.db").chmod(0o600)
    assert main(["ledger", "backup", str(copy), "--db", url]) == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    # Killed in the middle of its work: its write-ahead log is still there, and must not be played onto the backup.
    newer = open_ledger(url)
    record(newer, range(20, 400))
    killed = tmp_path / "killed"
    killed.mkdir()
    for suffix in ("", "-wal", "-shm"):
        shutil.copy(f"{tmp_path}/ledger.db{suffix}", killed / f"ledger.db{suffix}")
    assert (killed / "ledger.db-wal").stat().st_size > 0
    documented = re.findall(r"^    ((?:rm|cp) .+)$", (ROOT / "docs/how-to/back-up-ledger.md").read_text(), re.MULTILINE)
    assert len(documented) == 2
    shutil.copy(copy, killed / copy.name)
    for line in documented:
        assert os.system(f"cd {killed} && {line}") == 0  # noqa: S605 - as the reader types it
    with closing(sqlite3.connect(killed / "ledger.db")) as restored:
        assert restored.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = open_ledger(f"sqlite:///{killed}/ledger.db")
    assert totals(found) == list(range(20))
    record(found, range(20, 25))
    assert totals(found) == list(range(25))


def test_a_backup_does_not_upgrade_the_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = tmp_path / "ledger.db"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript((ROOT / "tests/fixtures/ledger-0.1.sql").read_text())
        (version,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    assert main(["ledger", "backup", str(tmp_path / "copy.db"), "--db", f"sqlite:///{old}"]) == 0
    assert f"{(tmp_path / 'copy.db').stat().st_size} bytes" in capsys.readouterr().out
    for file in (old, tmp_path / "copy.db"):
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (version,)
    open_database(f"sqlite:///{tmp_path}/copy.db").dispose()


def test_what_is_no_ledger_or_damaged_or_there_already_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], open_ledger: Opener
) -> None:
    (tmp_path / "notes.txt").write_text("no database " * 100)
    (tmp_path / "empty.db").touch()
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    record(ledger, range(3000))
    ledger.engine.dispose()
    damaged = tmp_path / "damaged.db"
    body = bytearray((tmp_path / "ledger.db").read_bytes())
    body[8192:40960] = bytes(40960 - 8192)
    damaged.write_bytes(body)
    (tmp_path / "there.db").write_text("mine")
    for db, file, said in (
        ("sqlite:///" + str(tmp_path / "none.db"), "copy.db", "no such file"),
        ("sqlite:///" + str(tmp_path / "notes.txt"), "copy.db", "file is not a database"),
        ("sqlite:///" + str(tmp_path / "empty.db"), "copy.db", "isn't a ledger"),
        ("sqlite:///" + str(damaged), "copy.db", "malformed"),
        ("sqlite:///" + str(tmp_path / "ledger.db"), "there.db", "already exists"),
        ("sqlite:///" + str(tmp_path / "ledger.db"), "nowhere/copy.db", "unable to open database"),
        ("sqlite://", "copy.db", "only an SQLite file"),
        ("nonsense", "copy.db", "--db"),
        ("postgresql://ann:hunter2@db.example/ledger", "copy.db", "pg_dump"),
    ):
        assert main(["ledger", "backup", str(tmp_path / file), "--db", db]) == 2, db
        output = capsys.readouterr()
        assert said in output.err, output.err
        assert (len(output.err.splitlines()), "hunter2" in output.err) == (1, False)
        assert not (tmp_path / "copy.db").exists()
    assert (tmp_path / "there.db").read_text() == "mine"
    assert not list(tmp_path.glob("**/*.partial"))


def test_a_ledger_of_a_newer_version_is_refused_by_every_command_in_one_line(database: str, tmp_path: Path) -> None:
    engine = open_database(database)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    for command in (
        ["serve", "--source", "scrape:http://127.0.0.1:9", "--db", database],
        ["ledger", "export", "--db", database, "--out", str(tmp_path / "out")],
    ):
        assert "newer than this Plimsoll. Upgrade Plimsoll." in rejected(command, environment(), tmp_path)

"""A ledger in an SQLite file: how its connections are set up, and that the file is still the one that was opened."""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import SQLAlchemyError

WRITING = "plimsoll_writing"  # execution option of a transaction that will write
BUSY_TIMEOUT_SECONDS = 10  # seconds to wait for another writer


class DatabaseError(SQLAlchemyError):
    """The ledger's database can't be used; the message states the fix."""


class OpenFile:
    """The file that an engine has open. A deleted file stays writable for a process that has it open, and is lost with the process."""

    def __init__(self, engine: Engine) -> None:
        self._path: Path | None = None
        self._inode: tuple[int, int] | None = None
        # A new connection to a deleted file would create an empty one.
        event.listen(engine, "do_connect", lambda *_: self.require())
        event.listen(engine, "connect", self._configure)
        event.listen(engine, "begin", self._begin)

    def require(self) -> None:
        """Raise DatabaseError unless the path still names the file that was opened first."""
        if self._path is None:
            return
        try:
            found = _inode(self._path)
        except OSError as error:
            raise DatabaseError(
                f"{self._path}: can't be read ({error.strerror}): it was deleted or moved while in use. Stop the service, "
                "put the file back or restore a backup, and start the service"
            ) from error
        if found != self._inode:
            raise DatabaseError(
                f"{self._path}: another file was put in its place while in use. Restart the service to use it"
            )

    def _configure(self, connection: Any, _: object) -> None:
        """Write ahead, flush each commit to disk (a SIGKILL or power cut loses nothing recorded), wait for another writer."""
        connection.isolation_level = None  # Python's sqlite3 would begin transactions by itself, and none for DDL
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        _write_ahead(cursor)
        path = next(file for _, name, file in cursor.execute("PRAGMA database_list") if name == "main")
        cursor.close()
        if self._path is None and path:  # a ledger in memory has none
            self._path, self._inode = Path(path), _inode(Path(path))
        self.require()

    def _begin(self, connection: Connection) -> None:
        """Lock at once in a transaction that will write: one that reads first may find that another has written since."""
        self.require()
        writes = connection.get_execution_options().get(WRITING)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def back_up(source: Path, target: Path) -> None:
    """Write a consistent, checked copy of a ledger that may be in use; it appears under its name only when it is complete.

    Raises DatabaseError where the source isn't a ledger, sqlite3.Error and OSError where it can't be read or the copy written.
    """
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as ledger:
            ledger.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_SECONDS * 1000}")
            if not ledger.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
                raise DatabaseError(f"{source}: isn't a ledger")
            ledger.execute("VACUUM INTO ?", (str(partial),))  # one read transaction: writers go on meanwhile
        partial.chmod(source.stat().st_mode & 0o777)
        with closing(sqlite3.connect(partial)) as copy:
            (found, *_), *_ = copy.execute("PRAGMA integrity_check").fetchall()
        if found != "ok":
            raise DatabaseError(f"{source}: is damaged: {found}")
        _flush(partial)
        partial.rename(target)
        _flush(target.absolute().parent)
    finally:
        partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


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

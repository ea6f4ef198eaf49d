"""A private PostgreSQL: its own folder, a socket in it instead of a port, run by an unprivileged user, removed at the end."""

import os
import pwd
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import Self

import psycopg
import pytest


def binary(name: str) -> Path:
    """Path of a server binary (Debian keeps them off PATH); skips the test where it is absent."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")) or [Path(p) for p in (shutil.which(name),) if p]
    if not found:
        pytest.skip(f"PostgreSQL's {name} is not installed; Debian has it in the package postgresql")
    return found[-1]


def unprivileged() -> int | None:
    """The user to run it as; None: the current user. PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    pytest.skip("PostgreSQL does not run as root, and the users postgres and nobody are missing")


class PostgreSQL:
    """One cluster; `database()` gives the SQLAlchemy URL of a new, empty database."""

    def __init__(self, *settings: str) -> None:
        self._initdb, self._pg_ctl, self._user = binary("initdb"), binary("pg_ctl"), unprivileged()
        self._folder = tempfile.TemporaryDirectory(prefix="postgresql-")
        self.folder = Path(self._folder.name)
        if self._user is not None:
            os.chown(self.folder, self._user, -1)
        self._settings = settings
        self._numbers = count()

    def _run(self, *command: str | Path) -> None:
        done = subprocess.run(
            command, user=self._user, cwd=self.folder, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            log = self.folder / "log"
            pytest.fail(f"{command[0]}: {done.stdout}{done.stderr}{log.read_text() if log.exists() else ''}")

    def start(self, how: str = "start") -> None:
        """Start it, or `restart` it."""
        settings = [f"unix_socket_directories={self.folder}", "listen_addresses=", *self._settings]
        options = " ".join(f"-c {setting}" for setting in settings)
        self._run(self._pg_ctl, "-D", "data", "-w", "-l", "log", "-m", "immediate", "-o", options, how)

    def __enter__(self) -> Self:
        self._run(self._initdb, "-D", "data", "-U", "plimsoll", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._pg_ctl, "-D", "data", "-m", "immediate", "stop")
        self._folder.cleanup()

    def database(self, options: str = "") -> str:
        """Make a database and return its URL; `options` are those of CREATE DATABASE."""
        name = f"ledger{next(self._numbers)}"
        with psycopg.connect(host=str(self.folder), user="plimsoll", dbname="postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} {options}".encode())
        return f"postgresql://plimsoll@/{name}?host={self.folder}"

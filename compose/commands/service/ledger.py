"""Back up the ledger, or export or import it as Parquet."""

import argparse
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from plimsoll.compose.databases import open_ledger, without_password
from plimsoll.compose.inputs import UserError, needed
from plimsoll.slo.ledger.database import DatabaseError, reason
from plimsoll.slo.ledger.sqlite_file import back_up

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    actions = parser.add_subparsers(metavar="ACTION", dest="action", required=True)
    out = actions.add_parser("export", help="write every table of the ledger as a Parquet file")
    out.add_argument("--db", required=True, metavar="URL", help="SQLAlchemy URL of the ledger; it may be in use")
    out.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="DIR",
        help="a new folder; it appears only when the export is complete",
    )
    copy = actions.add_parser("backup", help="write a checked copy of an SQLite ledger that may be in use")
    copy.add_argument("file", type=Path, metavar="FILE", help="a new file; it appears only when the copy is complete")
    copy.add_argument("--db", required=True, metavar="URL", help="SQLAlchemy URL of the ledger")
    into = actions.add_parser(
        "import",
        help="add missing rows; a stored row that differs stops the import, and nothing is changed",
    )
    into.add_argument("folder", type=Path, metavar="DIR", help="what `plimsoll ledger export` wrote")
    into.add_argument(
        "--db", required=True, metavar="URL", help="SQLAlchemy URL of the ledger; created if it doesn't exist"
    )


def _parquet() -> Any:
    """Return the module of the other two actions, which need an extra of their own."""
    return needed("plimsoll.slo.ledger.parquet", "parquet")


def run(args: argparse.Namespace) -> int:
    """Run the action; raises UserError."""
    actions = {"backup": backup, "export": export, "import": import_folder}
    return actions[args.action](args)


def backup(args: argparse.Namespace) -> int:
    """Write a copy of an SQLite ledger. It isn't migrated, so that a backup may precede an upgrade."""
    if args.file.exists():
        raise UserError(f"{args.file}: already exists. Name a new file.")
    _reject_missing(args.db)
    try:
        place = make_url(args.db)
    except SQLAlchemyError as error:
        raise UserError(f"--db {without_password(args.db)}: {reason(error)}. Check the URL.") from error
    if place.get_backend_name() != "sqlite" or not place.database:
        raise UserError(
            f"--db {without_password(args.db)}: only an SQLite file is backed up. For PostgreSQL run `pg_dump --format=custom`."
        )
    try:
        back_up(Path(place.database), args.file)
    except (DatabaseError, sqlite3.Error) as error:
        raise UserError(f"--db {args.db}: {error}. Nothing was written.") from error
    except OSError as error:
        raise UserError(f"{args.file}: can't be written: {error.strerror or error}") from error
    print(f"{args.file}: {args.file.stat().st_size} bytes")
    return 0


def export(args: argparse.Namespace) -> int:
    """Write a new folder."""
    if args.out.exists():
        raise UserError(f"--out {args.out}: already exists. Name a new folder.")
    _reject_missing(args.db)
    parquet = _parquet()
    partial = args.out.with_name(f"{args.out.name}.{os.getpid()}.partial")
    with _opened(args.db) as engine:
        try:
            partial.mkdir(parents=True)
            counts = parquet.export_ledger(engine, partial)
            partial.rename(args.out)
        except OSError as error:
            raise UserError(f"--out {args.out}: can't be written: {error.strerror or error}") from error
    for name, rows in counts.items():
        print(f"{name}: {rows} rows")
    return 0


@contextmanager
def _opened(url: str) -> Iterator[Engine]:
    """Yield the ledger's engine. A database error undoes the transaction and becomes one line."""
    engine = open_ledger(url)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise UserError(f"--db {without_password(url)}: {reason(error)}. Nothing was written.") from error
    finally:
        engine.dispose()


def _reject_missing(url: str) -> None:
    """Reject a missing SQLite file: opening it would create an empty one. Raises UserError."""
    try:
        place = make_url(url)
    except SQLAlchemyError:
        return
    if place.get_backend_name() == "sqlite" and not Path(place.database or "").exists():
        raise UserError(f"--db {url}: no such file. Check the path.")


def import_folder(args: argparse.Namespace) -> int:
    """Add the rows of a folder."""
    if not args.folder.is_dir():
        raise UserError(f"{args.folder}: isn't a folder. Name one that `plimsoll ledger export` wrote.")
    parquet = _parquet()
    with _opened(args.db) as engine:
        try:
            found = parquet.import_ledger(engine, args.folder)
        except parquet.ImportConflictError as error:
            raise UserError(str(error)) from error
        except OSError as error:
            raise UserError(f"{args.folder}: can't be read: {error.strerror or error}") from error
    for name, taken in found.items():
        print(f"{name}: {taken.rows} rows, {taken.new} of them new")
    return 0

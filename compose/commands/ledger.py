"""Export or import the ledger as Parquet."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from plimsoll.compose.databases import open_ledger, without_password
from plimsoll.compose.inputs import UserError
from plimsoll.slo.ledger.database import reason
from plimsoll.slo.ledger.parquet import ImportConflictError, export_ledger, import_ledger

EXTRA = "parquet"


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
    into = actions.add_parser(
        "import",
        help="add missing rows; a stored row that differs stops the import, and nothing is changed",
    )
    into.add_argument("folder", type=Path, metavar="DIR", help="what `plimsoll ledger export` wrote")
    into.add_argument(
        "--db", required=True, metavar="URL", help="SQLAlchemy URL of the ledger; created if it doesn't exist"
    )


def run(args: argparse.Namespace) -> int:
    """Export or import; raises UserError."""
    return export(args) if args.action == "export" else import_folder(args)


def export(args: argparse.Namespace) -> int:
    """Write a new folder."""
    if args.out.exists():
        raise UserError(f"--out {args.out}: already exists. Name a new folder.")
    _reject_missing(args.db)
    partial = args.out.with_name(f"{args.out.name}.{os.getpid()}.partial")
    with _opened(args.db) as engine:
        try:
            partial.mkdir(parents=True)
            counts = export_ledger(engine, partial)
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
    with _opened(args.db) as engine:
        try:
            found = import_ledger(engine, args.folder)
        except ImportConflictError as error:
            raise UserError(str(error)) from error
        except OSError as error:
            raise UserError(f"{args.folder}: can't be read: {error.strerror or error}") from error
    for name, taken in found.items():
        print(f"{name}: {taken.rows} rows, {taken.new} of them new")
    return 0

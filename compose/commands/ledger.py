"""`plimsoll ledger`: the whole ledger as Parquet files, and back: to move it to another database, or to keep it."""

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


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("ledger", help="export and import the ledger as Parquet", description=__doc__)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    out = actions.add_parser("export", help="write every table of the ledger as a Parquet file")
    out.add_argument("--db", required=True, metavar="URL", help="SQLAlchemy URL of the ledger; it may be in use")
    out.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="a new folder; it is there only when it is whole"
    )
    out.set_defaults(run=export)
    into = actions.add_parser(
        "import",
        help="add what is missing; a row that is there and says something else stops the import, and nothing is changed",
    )
    into.add_argument("folder", type=Path, metavar="DIR", help="what `plimsoll ledger export` wrote")
    into.add_argument("--db", required=True, metavar="URL", help="SQLAlchemy URL of the ledger; a new one is made")
    into.set_defaults(run=take)


def export(args: argparse.Namespace) -> int:
    """Write a new folder."""
    if args.out.exists():
        raise UserError(f"--out {args.out}: is there already; name a folder that is not")
    _refuse_missing(args.db)
    partial = args.out.with_name(f"{args.out.name}.{os.getpid()}.partial")
    with _opened(args.db) as engine:
        try:
            partial.mkdir(parents=True)
            counts = export_ledger(engine, partial)
            partial.rename(args.out)
        except OSError as error:
            raise UserError(f"--out {args.out}: cannot be written: {error.strerror or error}") from error
    for name, rows in counts.items():
        print(f"{name}: {rows} rows")
    return 0


@contextmanager
def _opened(url: str) -> Iterator[Engine]:
    """The ledger's engine. Whatever fails in the database, the transaction is undone and it is said in one line."""
    engine = open_ledger(url)
    try:
        yield engine
    except SQLAlchemyError as error:
        raise UserError(f"--db {without_password(url)}: {reason(error)}; nothing was written") from error
    finally:
        engine.dispose()


def _refuse_missing(url: str) -> None:
    """Opening a SQLite file that is not there would make an empty one."""
    try:
        place = make_url(url)
    except SQLAlchemyError:
        return
    if place.get_backend_name() == "sqlite" and not Path(place.database or "").exists():
        raise UserError(f"--db {url}: there is no such file")


def take(args: argparse.Namespace) -> int:
    """Add the rows of a folder."""
    if not args.folder.is_dir():
        raise UserError(f"{args.folder}: is no folder; name one that `plimsoll ledger export` wrote")
    with _opened(args.db) as engine:
        try:
            found = import_ledger(engine, args.folder)
        except ImportConflictError as error:
            raise UserError(str(error)) from error
        except OSError as error:
            raise UserError(f"{args.folder}: cannot be read: {error.strerror or error}") from error
    for name, taken in found.items():
        print(f"{name}: {taken.rows} rows, {taken.new} of them new")
    return 0

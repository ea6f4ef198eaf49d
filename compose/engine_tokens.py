"""Collectors of the endpoints that a command line names, with the files of their bearer tokens."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from plimsoll.compose.inputs import UserError
from plimsoll.exporters.engines.collector import EngineCollector


def add_tokens(parser: argparse.ArgumentParser) -> None:
    """Declare --engine-token."""
    parser.add_argument(
        "--engine-token",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="File with the bearer token that the metrics of engine NAME (or HOST:PORT) require. Read at each scrape. Repeatable.",
    )


def engine_collectors(engines: Sequence[str], tokens: Sequence[str], state: Path | None) -> list[EngineCollector]:
    """Return a collector of each engine; raises UserError for a bad address, or a token of no engine."""
    files = {}
    for text in tokens:
        name, _, file = text.rpartition("=")
        if not name or not file:
            raise UserError(f"--engine-token {text}: expected NAME=FILE, with a name or HOST:PORT of an engine.")
        files[name] = Path(file)
    try:
        plain = [EngineCollector(engine) for engine in engines]
        unknown = files.keys() - {collector.replica for collector in plain}
        if unknown:
            raise UserError(f"--engine-token {min(unknown)}: no engine has this name. Use NAME= or HOST:PORT of one.")
        return [
            EngineCollector(engine, state, files.get(collector.replica))
            for engine, collector in zip(engines, plain, strict=True)
        ]
    except ValueError as error:
        raise UserError(str(error)) from error

"""Convert SLOs from Sloth, Pyrra, or OpenSLO.

Queries on the metrics of vLLM and other engines, or on Plimsoll's own, become indicators. Whatever isn't converted is
listed on stderr with its path and the reason. Exit status 1 where no SLO was converted.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from plimsoll.compose.inputs import UserError, read_text
from plimsoll.exporters.engines import engines
from plimsoll.slo import metrics
from plimsoll.slo.exchange.conversion import Conversion, Reading, write
from plimsoll.slo.exchange.document import Document, read_documents
from plimsoll.slo.exchange.indicator_matching import Known
from plimsoll.slo.exchange.openslo import read_openslo
from plimsoll.slo.exchange.pyrra import read_pyrra
from plimsoll.slo.exchange.sloth import read_sloth
from plimsoll.slo.spec.objectives import SpecError, Window, load
from plimsoll.slo.strict_yaml import InvalidYamlError

EXTRA = "build"

READERS: dict[str, Callable[[Sequence[Document], Reading], Conversion]] = {
    "sloth": read_sloth,
    "pyrra": read_pyrra,
    "openslo": read_openslo,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("format", choices=READERS, help="Sloth prometheus/v1, Pyrra v1alpha1 or OpenSLO v1")
    parser.add_argument("file", metavar="FILE", help="one or more YAML documents")
    parser.add_argument("--model", metavar="NAME", help="model of queries that name none")
    parser.add_argument(
        "--window",
        default="30d",
        metavar="TIME",
        help="window of SLOs that have none, such as Sloth's (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Print the converted SLOs, and the unsupported parts."""
    converted = READERS[args.format](_documents(args.file), Reading(names(), _window(args.window), args.model))
    text = write(converted, f"Converted from {args.format}. Run `plimsoll check` on it.")
    for loss in converted.losses:
        print(f"not converted: {loss.path}: {loss.reason}", file=sys.stderr)
    print(f"{args.file}: {len(converted.slos)} SLOs converted, {len(converted.losses)} losses", file=sys.stderr)
    if not converted.slos:
        return 1
    try:
        load(text)
    except SpecError as error:
        raise UserError(f"{args.file}: the result isn't a valid objectives file: {error}") from error
    print(text, end="")
    return 0


def names() -> dict[str, Known]:
    """Return every name by which requests and latencies are known: those of engines, of programs that wrap them, and of Plimsoll."""
    found = {metric.name: Known(metric, {}) for metric in metrics.ALL}
    for engine in engines():
        for source in engine.sources:
            if not (source.where or source.unless or source.adds) and source.metric is not metrics.PROGRESS_TOKENS:
                found |= dict.fromkeys(source.names, Known(source.metric, engine.labels))
    return found


def _documents(path: str) -> list[Document]:
    try:
        return read_documents(read_text(Path(path), path))
    except InvalidYamlError as error:
        raise UserError(f"{path}:{error}") from error


def _window(text: str) -> str:
    try:
        return str(Window.parse(text))
    except ValueError as error:
        raise UserError(f"--window: {error}") from error

"""`plimsoll import`: objectives from a file of Sloth, Pyrra or OpenSLO: YAML on stdout, what was lost on stderr."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from plimsoll.compose.inputs import UserError
from plimsoll.exporters.engines import engines
from plimsoll.slo import metrics
from plimsoll.slo.exchange.conversion import Conversion, Reading, write
from plimsoll.slo.exchange.document import Document, InvalidYamlError, read_documents
from plimsoll.slo.exchange.indicator_matching import Known
from plimsoll.slo.exchange.openslo import read_openslo
from plimsoll.slo.exchange.pyrra import read_pyrra
from plimsoll.slo.exchange.sloth import read_sloth
from plimsoll.slo.spec.objectives import SpecError, Window, load

READERS: dict[str, Callable[[Sequence[Document], Reading], Conversion]] = {
    "sloth": read_sloth,
    "pyrra": read_pyrra,
    "openslo": read_openslo,
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    about = (
        "Queries on the metrics of vLLM and other engines, or on Plimsoll's own, become indicators. Whatever cannot be carried is "
        "listed on stderr: its path in the file, and why. Exit status 1 where no objective could be carried."
    )
    parser = subparsers.add_parser("import", help="take objectives from Sloth, Pyrra or OpenSLO", description=about)
    parser.add_argument("format", choices=READERS, help="Sloth prometheus/v1, Pyrra v1alpha1 or OpenSLO v1")
    parser.add_argument("file", metavar="FILE", help="one or more YAML documents")
    parser.add_argument("--model", metavar="NAME", help="the model of queries that name none")
    parser.add_argument(
        "--window",
        default="30d",
        metavar="TIME",
        help="where the file has none, as Sloth's has not (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what was carried, and what was not."""
    carried = READERS[args.format](_documents(args.file), Reading(names(), _window(args.window), args.model))
    text = write(carried, f"From a file of {args.format}; `plimsoll check` says what is wrong with it.")
    for loss in carried.losses:
        print(f"lost: {loss.path}: {loss.why}", file=sys.stderr)
    print(f"{args.file}: {len(carried.drafts)} objectives carried, {len(carried.losses)} losses", file=sys.stderr)
    if not carried.drafts:
        return 1
    try:
        load(text)
    except SpecError as error:
        raise UserError(f"{args.file}: what was carried is no valid objectives file: {error}") from error
    print(text, end="")
    return 0


def names() -> dict[str, Known]:
    """Return every name by which requests and latencies may be read: the engines', as other programs wrap them, and ours."""
    found = {metric.name: Known(metric, {}) for metric in metrics.ALL}
    for engine in engines():
        first, *others = engine.prefixes
        for source in engine.sources:
            if not source.where and not source.adds:
                for name in source.names:
                    known = Known(source.metric, engine.labels)
                    found |= {prefix + name.removeprefix(first): known for prefix in (first, *others)}
    return found


def _documents(path: str) -> list[Document]:
    try:
        return read_documents(Path(path).read_text(encoding="utf-8"))
    except InvalidYamlError as error:
        raise UserError(f"{path}: not YAML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _window(text: str) -> str:
    try:
        return str(Window.parse(text))
    except ValueError as error:
        raise UserError(f"--window: {error}") from error

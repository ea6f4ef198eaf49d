"""The `plimsoll` command. A command is a module in a folder of compose/commands, imported only when it is asked for.

Its docstring is the command's help; `EXTRA`, where there is one, names the extra that it needs installed; `add_arguments`
declares its arguments and `run` does it.
"""

import argparse
import os
import re
import sys
from collections.abc import Collection
from importlib.metadata import version
from pathlib import Path

from plimsoll.compose.inputs import UserError, needed
from plimsoll.compose.settings.options import with_settings

FOLDER = Path(__file__).parent / "commands"
SUMMARY = re.compile(r'\A"""(.+?)(?:"""|\n)')
EXTRA = re.compile(r'^EXTRA = "([a-z]+)"$', re.MULTILINE)


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit status. Bad input is one line on stderr and status 2."""
    # A forecast's matrices have 60 columns. Threads gain nothing there; on busy cores they take ten times as long, waiting for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    arguments = sys.argv[1:] if argv is None else argv
    if "_ARGCOMPLETE" in os.environ:
        _complete(os.environ.get("COMP_LINE", "").split())
    try:
        options = _parse(arguments)
        status: int = options.run(options)
        return status
    except UserError as error:
        print(f"plimsoll: {error}", file=sys.stderr)
        return 2


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Return the options; the parser's memory is free again when the command starts. Raises UserError."""
    chosen = [word for word in arguments if word in commands()][:1]
    parser = build_parser(chosen)
    if chosen:
        arguments = with_settings(_command(parser, chosen[0]), chosen[0], arguments)
    return parser.parse_args(arguments)


def _complete(words: Collection[str]) -> None:
    """Print what completes a line and end: the shell asks for it (extra `completion`)."""
    chosen = [word for word in words if word in commands()][:1]
    needed("plimsoll.compose.settings.completion", "completion").complete(build_parser(chosen))


def _command(parser: argparse.ArgumentParser, name: str) -> argparse.ArgumentParser:
    (found,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    command: argparse.ArgumentParser = found.choices[name]
    return command


def commands() -> dict[str, Path]:
    """Return command -> its module's file. A name that Python reserves ends with an underscore there: `import_.py`."""
    files = {path.stem.rstrip("_").replace("_", "-"): path for path in FOLDER.glob("*/*.py") if path.stem != "__init__"}
    return dict(sorted(files.items()))


def build_parser(only: Collection[str] | None = None) -> argparse.ArgumentParser:
    """Return the parser: every command with its summary, and the arguments of `only` some commands (None: of all)."""
    parser = argparse.ArgumentParser(
        prog="plimsoll", description="SLOs, alerting, and capacity planning for self-hosted LLM inference."
    )
    parser.add_argument("--version", action="version", version=f"plimsoll {version('plimsoll-slo')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", dest="command", required=True)
    for name, path in commands().items():
        text = path.read_text(encoding="utf-8")
        (summary,) = SUMMARY.findall(text)[:1]
        command = subparsers.add_parser(name, help=summary, description=summary)
        if only is None or name in only:
            extra = EXTRA.search(text)
            module = needed(f"plimsoll.compose.commands.{path.parent.name}.{path.stem}", extra and extra[1])
            command.description = module.__doc__
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())

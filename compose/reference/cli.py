"""Reference page of the command line, from the parsers themselves."""

import argparse
import re
from collections.abc import Iterator

from plimsoll.compose.cli import build_parser
from plimsoll.compose.reference.markdown import page, table


def cli_page() -> str:
    """Return every command with its arguments."""
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    sections = [
        f"## plimsoll {name}\n\n{command.description}\n\n" + table(("Argument", "Meaning"), _arguments(command))
        for name, command in commands.choices.items()
    ]
    intro = (
        "Every command takes `--help`. Status 0: done; 1: the command found something (`check`); 2: bad input, stated in one line. "
        "Where a command prints for scripts, `--json` does so."
    )
    return page("Command line", intro, *sections)


def _arguments(command: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    formatter = command._get_formatter()
    for action in command._actions:
        if not isinstance(action, argparse._HelpAction):
            names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar or action.dest}`"
            value = f" {action.metavar}" if action.option_strings and action.metavar else ""
            yield f"{names}{value}", re.sub(r"\s+", " ", formatter._expand_help(action)) if action.help else ""

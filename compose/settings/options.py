"""Options of a command from environment variables and a configuration file, for what the command line doesn't give.

`--service-url` is PLIMSOLL_SERVICE_URL, and `service-url:` in the command's section of the file. The command line comes first, then the environment,
then the file. Each value is parsed as if it were written on the command line.
"""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plimsoll.compose.inputs import UserError, read_text

PREFIX = "PLIMSOLL_"
FILE = "PLIMSOLL_CONFIG_FILE"  # names the configuration file
DEFAULT_FILE = Path("plimsoll") / "config.yaml"  # below XDG_CONFIG_HOME, by default ~/.config
# Variables that aren't those of an option: they hold or name a secret (plimsoll.compose.listen), or the source reads them itself.
RESERVED = {"PLIMSOLL_WEBHOOK_TOKEN", "PLIMSOLL_TOKEN_FILE", "PLIMSOLL_SOURCE_CONFIG"}
YES, NO = ("1", "true", "yes"), ("0", "false", "no", "")


def with_settings(
    parser: argparse.ArgumentParser, command: str, arguments: Sequence[str], environ: Mapping[str, str] = os.environ
) -> list[str]:
    """Return a command's arguments with those that the environment and the file add. Raises UserError."""
    if any(word in ("-h", "--help") for word in arguments):
        return list(arguments)
    section = _section(environ, command)
    options = {_name(one): one for one in parser._actions if one.option_strings and not _is_help(one)}
    if unknown := sorted(set(section) - set(options)):
        raise UserError(f"{_file(environ)}: {command}: unknown option {unknown[0]!r}. See `plimsoll {command} --help`.")
    taken = _given(parser, arguments)
    added: list[str] = []
    for name, action in options.items():
        values = _values(name, action, section, environ)
        # An option of the command line replaces those that exclude each other with it.
        if values and not taken & {action, *_rivals(parser, action)}:
            added += values
            taken.add(action)
    at = list(arguments).index(command) + 1
    return [*arguments[:at], *added, *arguments[at:]]


def variable(name: str) -> str:
    """Return the environment variable of an option, such as `service-url`."""
    return PREFIX + name.upper().replace("-", "_")


def _name(action: argparse.Action) -> str:
    return max(action.option_strings, key=len).lstrip("-")


def _is_help(action: argparse.Action) -> bool:
    return isinstance(action, argparse._HelpAction | argparse._VersionAction)


def _given(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> set[argparse.Action]:
    """Return the options on the command line, abbreviated ones included."""
    words = {word.partition("=")[0] for word in arguments if word.startswith("--") and len(word) > 2}
    options = {option for action in parser._actions for option in action.option_strings}
    exact = words & options
    abbreviated = {option for word in words - exact for option in options if option.startswith(word)}
    return {action for action in parser._actions if {*action.option_strings} & (exact | abbreviated)}


def _rivals(parser: argparse.ArgumentParser, action: argparse.Action) -> Iterator[argparse.Action]:
    return (
        one
        for group in parser._mutually_exclusive_groups
        if action in group._group_actions
        for one in group._group_actions
    )


def _values(name: str, action: argparse.Action, section: Mapping[str, Any], environ: Mapping[str, str]) -> list[str]:
    """Return an option as words of a command line; none where it isn't set. A repeatable one has its values with spaces between."""
    where = variable(name)
    text = environ.get(where) if where not in RESERVED else None
    if text is None:
        where, found = f"{_file(environ)}: {name}", section.get(name)
        if found is None:
            return []
        texts = [_text(one) for one in found] if isinstance(found, list) else [_text(found)]
    else:
        texts = text.split() if isinstance(action, argparse._AppendAction) else [text]
    option = f"--{name}"
    if action.nargs == 0:
        if texts[0].lower() not in (*YES, *NO):
            raise UserError(f"{where}: expected 1 or 0, got {texts[0][:100]!r}.")
        return [option] if texts[0].lower() in YES else []
    return [f"{option}={one}" for one in texts]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _file(environ: Mapping[str, str]) -> Path:
    home = Path(environ.get("XDG_CONFIG_HOME") or Path("~/.config").expanduser())
    return Path(environ.get(FILE) or home / DEFAULT_FILE)


def _section(environ: Mapping[str, str], command: str) -> dict[str, Any]:
    """Return the options that the configuration file has for a command."""
    file = _file(environ)
    if not environ.get(FILE) and not file.exists():
        return {}
    from plimsoll.slo.strict_yaml import InvalidYamlError, load  # noqa: PLC0415 - a node's exporter does without

    try:
        found = load(read_text(file, str(file)))
    except InvalidYamlError as error:
        raise UserError(f"{file}:{error}") from error
    if not isinstance(found or {}, dict) or not all(isinstance(one, dict | None) for one in (found or {}).values()):
        raise UserError(
            f"{file}: expected a section for each command, such as `top: {{service-url: http://127.0.0.1:8080}}`."
        )
    section = (found or {}).get(command)
    return dict(section or {})

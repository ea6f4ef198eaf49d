"""Options from the environment and from a configuration file, and completion: every option of every command, checked as on the command line."""

import argparse
import os
import subprocess
from pathlib import Path

import pytest

from each_case import each_case
from plimsoll.compose.cli import _command, build_parser, commands
from plimsoll.compose.inputs import UserError
from plimsoll.compose.settings.options import FILE, RESERVED, variable, with_settings
from process import PLIMSOLL, environment, rejected

PARSER = build_parser()
COMMANDS = {name: _command(PARSER, name) for name in commands()}


def options(command: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {
        max(one.option_strings, key=len).lstrip("-"): one
        for one in command._actions
        if one.option_strings and not isinstance(one, argparse._HelpAction)
    }


@each_case((f"{name} --{option}", (name, option)) for name, command in COMMANDS.items() for option in options(command))
def test_every_option_has_a_variable(pair: tuple[str, str]) -> None:
    name, option = pair
    action = options(COMMANDS[name])[option]
    value = "1" if action.nargs == 0 else next(iter(action.choices or ["7"]))
    found = with_settings(COMMANDS[name], name, [name], {variable(option): str(value), "XDG_CONFIG_HOME": "/none"})
    if variable(option) in RESERVED:
        assert found == [name]
    else:
        assert found == [name, f"--{option}" if action.nargs == 0 else f"--{option}={value}"]


def serve(*words: str, **environ: str) -> argparse.Namespace:
    arguments = with_settings(COMMANDS["serve"], "serve", ["serve", *words], {"XDG_CONFIG_HOME": "/none", **environ})
    return PARSER.parse_args(arguments)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "config.yaml"
    found.write_text(
        "serve:\n  source: scrape:http://file:9800\n  db: sqlite:///file.db\n  allowed-host: [a.example, b.example]\n"
    )
    return found


def test_the_command_line_comes_before_the_environment_and_that_before_the_file(file: Path) -> None:
    given = {FILE: str(file), "PLIMSOLL_SOURCE": "scrape:http://environment:9800"}
    assert serve(**given).source == "scrape:http://environment:9800"
    assert serve("--source", "scrape:http://words:9800", **given).source == "scrape:http://words:9800"
    assert serve("--d=sqlite:///words.db", **given).db == "sqlite:///words.db", "abbreviated"
    beside = serve("--source", "scrape:http://h:1", PLIMSOLL_DB="sqlite:///x.db", PLIMSOLL_AUTH_PROXY_HEADER="X-User")
    assert (beside.db, beside.auth_proxy_header) == ("sqlite:///x.db", "X-User")
    found = serve(**{FILE: str(file)})
    assert (found.source, found.db) == ("scrape:http://file:9800", "sqlite:///file.db")
    assert found.allowed_host == ["a.example", "b.example"]


def test_the_files_of_secrets_are_not_taken_for_options(tmp_path: Path) -> None:
    secrets = {"PLIMSOLL_TOKEN_FILE": str(tmp_path / "token"), "PLIMSOLL_WEBHOOK_TOKEN": "secret"}
    assert serve(PLIMSOLL_SOURCE="scrape:http://h:1", **secrets).token_file is None


def test_a_repeatable_option_has_values_with_spaces_and_is_replaced_as_a_whole() -> None:
    given = {"PLIMSOLL_ALLOWED_HOST": "a.example b.example", "PLIMSOLL_SOURCE": "scrape:http://h:1"}
    assert serve(**given).allowed_host == ["a.example", "b.example"]
    assert serve("--allowed-host", "c.example", **given).allowed_host == ["c.example"]


def test_an_option_of_the_command_line_replaces_what_excludes_it() -> None:
    command = COMMANDS["exclude"]
    found = with_settings(
        command, "exclude", ["exclude", "--pool", "chat"], {"PLIMSOLL_SLO": "x", "XDG_CONFIG_HOME": "/none"}
    )
    assert found == ["exclude", "--pool", "chat"]


def test_bad_input_is_one_line(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="PLIMSOLL_ONCE: expected 1 or 0"):
        with_settings(COMMANDS["top"], "top", ["top"], {"PLIMSOLL_ONCE": "maybe", "XDG_CONFIG_HOME": "/none"})
    file.write_text("top: {intervall: 5}")
    assert "config.yaml: top: unknown option 'intervall'" in rejected(["top"], environment(**{FILE: str(file)}))
    file.write_text("interval: 5")
    assert "expected a section for each command" in rejected(["top"], environment(**{FILE: str(file)}))
    file.write_text("top: [")
    assert "config.yaml:1:" in rejected(["top"], environment(**{FILE: str(file)}))
    missing = environment(**{FILE: str(tmp_path / "none.yaml")})
    assert "none.yaml: can't be read" in rejected(["top"], missing)


def completed(line: str, tmp_path: Path) -> list[str]:
    """What argcomplete writes for a line, as the shell's hook asks for it."""
    out = tmp_path / "completions"
    hook = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(out), "_ARGCOMPLETE_IFS": "\n"}
    hook |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    subprocess.run(PLIMSOLL, env={**os.environ, **hook}, timeout=60, check=True)
    return [one.strip() for one in out.read_text().split("\n") if one.strip()]


def test_the_shell_completes_commands_options_and_choices(tmp_path: Path) -> None:
    assert completed("plimsoll bu", tmp_path) == ["budget", "build"]
    assert "--interval" in completed("plimsoll top --", tmp_path)
    assert set(completed("plimsoll serve --smtp-encryption ", tmp_path)) == {"starttls", "tls", "none"}

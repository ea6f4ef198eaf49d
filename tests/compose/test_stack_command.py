"""`plimsoll stack`: what the containers share is written, or one line states which secret or engine is wrong."""

import os
from pathlib import Path

import pytest
import yaml

from paths import OBJECTIVES
from plimsoll.compose.cli import main
from plimsoll.compose.commands.local.stack import SECRETS
from process import rejected

ALL = (*SECRETS, "pagerduty-routing-key")


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """A configuration that is right: `config`, `secrets`, and an empty `out`."""
    for name in ("config", "secrets", "out"):
        (tmp_path / name).mkdir()
    (tmp_path / "config" / "objectives.yaml").write_text(OBJECTIVES.read_text().replace("chat-70b", "own-pool"))
    (tmp_path / "config" / "engines").write_text("# ours\n\nhttp://10.0.0.5:8000\nb=http://10.0.0.6:8000\n")
    for name in ALL:
        (tmp_path / "secrets" / name).write_text("s" * 32)
        (tmp_path / "secrets" / name).chmod(0o400)
    return tmp_path


def arguments(folders: Path, *more: str) -> list[str]:
    flags = [f"--config={folders}/config", f"--secrets-dir={folders}/secrets", f"--out={folders}/out"]
    return ["stack", *flags, *more]


def test_the_containers_get_own_objectives_engines_rules_and_routing(folders: Path) -> None:
    assert main(arguments(folders, "--page-receiver", "slack")) == 0
    out = folders / "out"
    assert (out / "engines").read_text().split() == [
        "--engine",
        "http://10.0.0.5:8000",
        "--engine",
        "b=http://10.0.0.6:8000",
    ]
    assert (out / "objectives.yaml").read_text() == (folders / "config" / "objectives.yaml").read_text()
    rules = (out / "alerts" / "objectives.rules.yml").read_text()
    assert "own-pool" in rules and "chat-70b" not in rules
    routing = yaml.safe_load((out / "alerts" / "alertmanager.yml").read_text())
    assert f"{folders}/secrets/slack-url" in str(routing["receivers"])
    assert (out / "dashboards" / "provisioning" / "datasources" / "plimsoll.yml").exists()


def test_the_demo_needs_no_engines_and_no_objectives(folders: Path) -> None:
    (folders / "config" / "engines").unlink()
    (folders / "config" / "objectives.yaml").unlink()
    assert main(arguments(folders, "--profiles", "a,demo")) == 0
    assert "--engine demo-0=http://127.0.0.1:8100" in (folders / "out" / "engines").read_text()
    assert (folders / "out" / "objectives.yaml").read_text() == OBJECTIVES.read_text()


def refused(folders: Path, *more: str) -> str:
    """The one line on stderr; nothing was written."""
    line = rejected(arguments(folders, *more))
    assert list((folders / "out").iterdir()) == []
    return line


def test_the_demo_is_not_run_beside_real_engines(folders: Path) -> None:
    assert "doesn't run beside real ones" in refused(folders, "--profiles", "demo")


@pytest.mark.parametrize("text", [None, "", "# none\n"])
def test_no_engine_is_an_error(text: str | None, folders: Path) -> None:
    file = folders / "config" / "engines"
    file.unlink() if text is None else file.write_text(text)
    assert "engines: no engine." in refused(folders)


@pytest.mark.parametrize(
    "line", ["10.0.0.5:8000", "a=ftp://b", "http://a http://b", "http://a$(id)", "http://a;`id`", "--no-gpu"]
)
def test_a_line_that_is_no_engine_is_named(line: str, folders: Path) -> None:
    """The exporter's shell splits the file into words: it must hold no other."""
    (folders / "config" / "engines").write_text(f"http://a:8000\n{line}\n")
    assert repr(line) in refused(folders)


@pytest.mark.parametrize("name", ALL)
def test_a_secret_that_is_missing_is_named(name: str, folders: Path) -> None:
    (folders / "secrets" / name).unlink()
    assert f"secret {name}: " in refused(folders)


def test_a_secret_that_is_empty_or_that_others_can_read_is_named(folders: Path) -> None:
    file = folders / "secrets" / "tokens"
    file.chmod(0o644)
    assert "sudo chmod 400 tokens" in refused(folders)
    file.write_text("\n")
    file.chmod(0o400)
    assert "secret tokens: empty" in refused(folders)


def test_a_secret_that_cannot_be_read_is_named_before_alertmanager_needs_it(folders: Path) -> None:
    """A folder can't be read by root either; `make containers` has the file of another user."""
    key = folders / "secrets" / "pagerduty-routing-key"
    key.unlink()
    key.mkdir()
    assert f"sudo chown {os.geteuid()} pagerduty-routing-key" in refused(folders)


def test_pagerdutys_key_is_needed_only_where_pages_go_there(folders: Path) -> None:
    (folders / "secrets" / "pagerduty-routing-key").unlink()
    assert main(arguments(folders, "--page-receiver", "https://ops.example/hook")) == 0


def test_wrong_objectives_are_named(folders: Path) -> None:
    (folders / "config" / "objectives.yaml").write_text("version: plimsoll/v1\npools: 3\n")
    assert "objectives.yaml" in refused(folders)

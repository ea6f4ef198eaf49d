"""The documentation holds together: every link leads somewhere, and every page is in the index."""

import re
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from paths import ROOT
from plimsoll.compose.cli import build_parser, commands
from plimsoll.slo.spec.objectives import load

DOCS = ROOT / "docs"
LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)\s]+)\)")
PAGES = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    broken = []
    for page in PAGES:
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            name, _, anchor = link.partition("#")
            target = page if not name else (page.parent / name)
            found = target.exists() and (not anchor or target.is_dir() or anchor in anchors(target.read_text("utf-8")))
            if not found:
                broken.append(f"{page.relative_to(ROOT)}: {link}")
    assert not broken


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    missing = [
        path
        for page in DOCS.rglob("*.md")
        if (path := page.relative_to(DOCS).as_posix()) not in index and path != "README.md"
    ]
    assert not missing


def test_commands_of_the_documentation_exist() -> None:
    known = {name: {flag for action in _parser(name)._actions for flag in action.option_strings} for name in commands()}
    wrong = []
    for page in PAGES:
        for line in re.findall(r"plimsoll ([a-z][a-z-]+(?: [^`\n]*)?)", page.read_text(encoding="utf-8")):
            name, *words = line.split()
            flags = {word.split("=")[0] for word in words if re.fullmatch(r"--[a-z][a-z-]*(=.*)?", word)}
            if name in known and name != "ledger":  # its options belong to its actions
                wrong += [f"{page.relative_to(ROOT)}: plimsoll {name} {flag}" for flag in flags - known[name]]
    assert not wrong


def _parser(name: str) -> ArgumentParser:
    (choices,) = (action.choices for action in build_parser([name])._actions if action.dest == "command")
    parser: ArgumentParser = dict(choices or {})[name]
    return parser


def objectives_files() -> Iterator[tuple[Path, str]]:
    """Yield every block of a page, fenced or indented, that begins with the version of an objectives file."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^( *)version: plimsoll/v1\n(?:\1(?!```).+\n|\n)*", text, re.MULTILINE):
            yield page, dedent(block[0]).rstrip()


@pytest.mark.parametrize(("page", "text"), list(objectives_files()), ids=lambda value: getattr(value, "stem", ""))
def test_objectives_files_of_the_documentation_are_valid(page: Path, text: str) -> None:
    assert load(text).objectives, page


def test_the_tests_that_the_threat_model_names_exist() -> None:
    """Each protection names a test; every row has one."""
    text = (DOCS / "explanation" / "threat-model.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
    missing = [
        f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text(encoding="utf-8")
    ]
    assert not missing
    doors = text.partition("## Doors")[2].partition("## What is left")[0]
    rows = [line for line in doors.splitlines() if line.startswith("| ") and not line.startswith("| Threat")]
    assert [row for row in rows if "::test_" not in row] == []
    assert len(named) >= len(rows) > 20

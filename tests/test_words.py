"""Retired words and names stay out of texts and code: one standard term for each concept."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from each_case import each_case
from paths import ROOT

# Folders and files in scope: all product code, and all texts for users but the changelog, which lists old names.
SCOPE = (
    "CONTRIBUTING.md",
    "README.md",
    "SECURITY.md",
    "alerts",
    "compose",
    "dashboards",
    "docs",
    "exporters",
    "slo",
    "tests/alerts",
    "tests/fixtures/incidents",
    "tests/fixtures/rules",
    "tests/tools",
)
EXCLUDED = (
    "slo/ledger/migrations",  # old names are data there
    "slo/service/static/vendor",
)
# Retired words that are data: names that must not change, or of other systems.
DATA = {
    "slo/service/static/page.js": {"Promise"},  # JavaScript's
    "slo/spec/objectives.py": {"refuse", "off_bucket"},  # version 0.1's, hashed in Objective.spec_hash
    "tests/tools/postgresql.py": {"nobody"},  # a user of Unix
}
SUFFIXES = {".py", ".md", ".html", ".js", ".yml", ".yaml"}
# Word -> what to write instead. Words match in any case, also as a part of a name (`kept_rows`).
WORDS = {
    "tell": "show, report",
    "tells": "shows, reports",
    "told": "reported, given",
    "say": "show, state",
    "says": "shows, states",
    "said": "reported, stated",
    "anew": "again",
    "of late": "recently, in the last 30 min",
    "lately": "recently, in the last 30 min",
    "dear": "high cost",
    "dearer": "costlier",
    "surely": "confirmed",
    "so many": "a number, or per sample",
    "whom": "(rewrite)",
    "whoever": "(rewrite)",
    "nobody": "no one, null",
    "mend": "fix",
    "mends": "fixes",
    "gone": "lost, disrupted, missing",
    "promise": "SLO target",
    "promised": "target",
    "promises": "SLO targets",
    "kept": "met, saved, retained",
    "refuse": "reject",
    "refused": "rejected",
    "refuses": "rejects",
    "gave up": "abandoned",
    "give up": "abandon",
    "given up": "abandoned",
    "unclear": "indeterminate",
    "at best": "upper bound, lower bound",
    "at worst": "upper bound, lower bound",
    "alarm": "alert",
    "wakes": "pages",
    "woken": "paged",
    "blind": "alerts can't fire",
    "is no(?! longer)": "isn't a",
    "colour": "color",
    "behaviour": "behavior",
    "utilisation": "utilization",
    "quantisation": "quantization",
    "normalise": "normalize",
    "stabilisation": "stabilization",
    "initialisation": "initialization",
    "neighbour": "neighbor",
    "ageing": "aging",
}
# Retired names of metrics, fields, settings, and files. Case-sensitive.
NAMES = (
    "budget_left",
    "budget_spent",
    "off_bucket",
    "at_best",
    "queue_per_node",
    "kv_cache_limit",
    "scale_in_hold",
    "n_minus_1",
    "fingerprint",
    "theatre",
    "playbill",
    "ObjectiveBurn",
    "ConfigReloadFailed",
)
WORD = re.compile("|".join(rf"(?<![a-z]){word}(?![a-z])" for word in WORDS), re.I)
NAME = re.compile("|".join(rf"(?<![A-Za-z]){name}" for name in NAMES))
TEST = re.compile(r"tests/[\w/]+\.py::\w+")  # tests are free in how they are named


def findings(text: str, data: Collection[str] = ()) -> list[str]:
    """Return every retired word or name in a text, except data, with its line number."""
    return [
        f"line {number}: {match[0]!r}"
        for number, line in enumerate(TEST.sub("", text).splitlines(), 1)
        for pattern in (WORD, NAME)
        for match in pattern.finditer(line)
        if match[0] not in data
    ]


def files() -> Iterator[Path]:
    """Yield every text file in scope; what `plimsoll build` writes for Kubernetes repeats other files."""
    for entry in SCOPE:
        path = ROOT / entry
        for file in [path] if path.is_file() else sorted(path.rglob("*")):
            excluded = any(file.is_relative_to(ROOT / one) for one in EXCLUDED)
            if file.suffix in SUFFIXES and "kubernetes" not in file.parts and not excluded:
                yield file


@each_case((str(file.relative_to(ROOT)), file) for file in files())
def test_no_file_has_a_retired_word(file: Path) -> None:
    assert findings(file.read_text(encoding="utf-8"), DATA.get(str(file.relative_to(ROOT)), ())) == []


@pytest.mark.parametrize("name", DATA)
def test_every_exception_is_needed(name: str) -> None:
    found = findings((ROOT / name).read_text(encoding="utf-8"))
    assert {one.split("'")[1] for one in found} == DATA[name]


@pytest.mark.parametrize("entry", SCOPE)
def test_every_entry_of_the_scope_has_files(entry: str) -> None:
    assert any(file.is_relative_to(ROOT / entry) for file in files())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Nobody is told.", ["Nobody", "told"]),
        ("kept_rows = budget_left", ["kept", "budget_left"]),
        ("The threshold is no bucket boundary.", ["is no"]),
        ("It is no longer up; the essay skeptics saddened.", []),
    ],
)
def test_words_are_found_in_texts_and_names_but_not_inside_other_words(text: str, found: list[str]) -> None:
    assert [one.split("'")[1] for one in findings(text)] == found

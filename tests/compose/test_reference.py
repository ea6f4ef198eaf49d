"""The reference pages are what the code gives: stale and missing ones are found."""

from paths import ROOT
from plimsoll.compose.reference.pages import pages

FOLDER = ROOT / "docs" / "reference"


def test_the_generated_reference_is_current() -> None:
    stale = [name for name, text in pages().items() if (FOLDER / name).read_text(encoding="utf-8") != text]
    assert not stale, "renew them: make generate"

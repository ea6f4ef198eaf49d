"""axe-core, which finds what keeps people from using a page, from its npm package; it is run in the tests' browser and part of no package.

Run as a script it fetches it (`make test` does).
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

VERSION = "4.14.1"
SCRIPT = Path.home() / ".cache" / "plimsoll" / f"axe-core-{VERSION}.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_RUN = """async (tags) => (await axe.run(document, {runOnly: {type: "tag", values: tags}, resultTypes: ["violations"]}))
    .violations.map((one) => [one.id, one.nodes.map((node) => [node.target.join(" "), node.failureSummary])])"""


def fetch() -> None:
    """Take the script out of the package once; raises CalledProcessError or OSError without npm or its registry."""
    if SCRIPT.exists():
        return
    SCRIPT.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRIPT.parent) as name:
        command = ("npm", "pack", f"axe-core@{VERSION}", "--silent")
        file = subprocess.run(command, cwd=name, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(Path(name) / file) as package:
            package.extract("package/axe.min.js", name, filter="data")
        (Path(name) / "package" / "axe.min.js").replace(SCRIPT)


def violations(page: Page) -> list[Any]:
    """Violations of WCAG 2.2 at levels A and AA on a page: rule, and each element with what is wrong; skips without the script."""
    if not SCRIPT.exists():
        pytest.skip("axe-core isn't here; tests/tools/axe.py fetches it with npm")
    page.evaluate(SCRIPT.read_text(encoding="utf-8"))
    found: list[Any] = page.evaluate(_RUN, TAGS)
    return found


if __name__ == "__main__":
    try:
        fetch()
    except (subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"axe-core: not to be had here ({error!r}); the pages aren't checked for accessibility.")

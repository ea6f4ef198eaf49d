"""Asks PyPI's advisories about every locked distribution (pip-audit). Status 1: a known vulnerability.

Without advisories (no network, or a mirror that has none) nothing was audited: it prints that, and ends with status 0.
"""

import json
import subprocess
import sys
from typing import Any, NamedTuple

from paths import ROOT

COMMAND = ("pip_audit", "--requirement", str(ROOT / "requirements.lock"), "--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")  # fmt: skip


class Report(NamedTuple):
    """The lines to print, and the exit status."""

    lines: list[str]
    status: int


def report(output: str, locked: int) -> Report:
    """Read pip-audit's JSON about that number of locked distributions; empty where it wrote none."""
    found: list[dict[str, Any]] = json.loads(output)["dependencies"] if output.strip() else []
    checked = [one for one in found if "vulns" in one]
    lines = [
        f"{one['name']} {one['version']}: {vulnerability['id']}, fixed in {', '.join(vulnerability['fix_versions']) or 'no version'}"
        for one in checked
        for vulnerability in one["vulns"]
    ]
    status = 1 if lines else 0
    if len(checked) < locked:
        missing = locked - len(checked)
        lines.append(f"NOT AUDITED: the advisories of {missing} of {locked} distributions could not be had from PyPI.")
    return Report(lines or [f"{locked} distributions: no known vulnerability"], status)


def main() -> int:
    """Audit requirements.lock."""
    locked = len((ROOT / "requirements.lock").read_text().split())
    answer = subprocess.run([sys.executable, "-m", *COMMAND], check=False, capture_output=True, text=True)
    lines, status = report(answer.stdout, locked)
    print("\n".join(lines))
    return status


if __name__ == "__main__":
    sys.exit(main())

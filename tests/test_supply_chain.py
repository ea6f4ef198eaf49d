"""What Plimsoll is made of: every distribution locked, of an allowed license, in the bill of materials; the audit's result is honest."""

import json
import re
import subprocess
import sys

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing

from audit import report
from dependencies import ALLOWED, DEVELOPERS, USERS, dependencies, page
from paths import ROOT
from sbom import sbom

EVERYTHING = dependencies(*USERS, *DEVELOPERS)
LOCKED = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())


def test_every_distribution_is_locked_in_the_installed_version() -> None:
    needed = {one.name: one.version.removeprefix("v") for one in EVERYTHING if one.name not in ("pip", "setuptools")}
    assert {name: version for name, version in needed.items() if LOCKED.get(name) != version} == {}


def test_the_lock_names_no_host_and_no_path() -> None:
    assert all(
        re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.+!]+", line) for line in (ROOT / "requirements.lock").read_text().split()
    )


def test_every_license_is_known_and_allowed() -> None:
    spdx = get_spdx_licensing()
    for one in EVERYTHING:
        assert one.license, f"{one.name}: no license in its metadata; read its license file, and add it to READ"
        expression = spdx.parse(one.license, validate=True, simple=True)
        # Of `A OR B` one is enough; of `A AND B` both count.
        allowed = expression.subs(
            {symbol: spdx.TRUE if str(symbol) in ALLOWED else spdx.FALSE for symbol in expression.symbols}
        )
        assert allowed.simplify() == spdx.TRUE, f"{one.name}: {one.license} is not in ALLOWED"


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the extra `planner` has no package for Python 3.14")
def test_the_page_of_dependencies_is_current() -> None:
    assert (ROOT / "docs" / "reference" / "dependencies.md").read_text() == page(), "renew it: make generate"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_bill_of_materials_is_valid_complete_and_the_same_each_time() -> None:
    text = sbom()
    assert sbom() == text
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    components = {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"] for one in found["components"]}
    assert components == {one.name: one.version for one in dependencies(*USERS)}
    assert "pytest" not in components and components["uvicorn"] == LOCKED["uvicorn"]
    assert "file:" not in text and str(ROOT) not in text
    assert {one["ref"] for one in found["dependencies"]} == {
        "root-component",
        *(one["bom-ref"] for one in found["components"]),
    }


CLEAN = {"name": "a", "version": "1", "vulns": []}
HOLE = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("found", "locked", "lines", "status"),
    [
        ([CLEAN], 1, ["1 distributions: no known vulnerability"], 0),
        ([CLEAN, HOLE], 2, ["b 2: PYSEC-1, fixed in 3"], 1),
        ([HOLE, UNKNOWN], 2, ["b 2: PYSEC-1, fixed in 3", "NOT AUDITED: the advisories of 1 of 2 distributions could not be had from PyPI."], 1),
        ([UNKNOWN], 1, ["NOT AUDITED: the advisories of 1 of 1 distributions could not be had from PyPI."], 0),
    ],
)  # fmt: skip
def test_an_audit_that_could_not_be_had_is_not_a_clean_one(
    found: list[object], locked: int, lines: list[str], status: int
) -> None:
    assert report(json.dumps({"dependencies": found}), locked) == (lines, status)
    assert report("", 3).lines[0].startswith("NOT AUDITED: the advisories of 3 of 3")


def test_make_knows_the_targets() -> None:
    for target in ("audit", "sbom"):
        plan = subprocess.run(
            ["make", "-n", "-o", ".venv/dev.stamp", target, f"PYTHON={sys.executable}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"tests/tools/{target}.py" in plan.stdout

"""The distributions that Plimsoll's extras need, as they are installed here, with their licenses.

`python tests/tools/dependencies.py` prints docs/reference/dependencies.md.
"""

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from typing import NamedTuple

from packaging.requirements import Requirement

NAME = "plimsoll-slo"
USERS = ("", "service", "build", "forecast", "picture", "parquet", "planner", "postgresql", "otel")
DEVELOPERS = ("dev",)
# What a distribution may be licensed under: permissive, or copyleft of its own files (MPL-2.0) or of a library that is only imported (LGPL).
ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "HPND", "ISC", "LGPL-3.0-only", "MIT", "MIT-0", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Unlicense", "Zlib"}
)  # fmt: skip
# Licenses of distributions whose metadata has free text only, read in their license files.
READ = {
    "amdsmi": "MIT",
    "boolean-py": "BSD-2-Clause",
    "contourpy": "BSD-3-Clause",
    "cycler": "BSD-3-Clause",
    "defusedxml": "PSF-2.0",
    "grafanalib": "Apache-2.0",
    "jinja2": "BSD-3-Clause",
    "kiwisolver": "BSD-3-Clause",
    "kubernetes-validate": "Apache-2.0",
    "license-expression": "Apache-2.0",
    "matplotlib": "PSF-2.0",
    "nvidia-ml-py": "BSD-3-Clause",
    "patsy": "BSD-2-Clause AND PSF-2.0",
    "promql-parser": "MIT",
    "protobuf": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
}
_CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}


class Dependency(NamedTuple):
    """A distribution: name, version, and SPDX license expression (empty if its metadata gives none)."""

    name: str
    version: str
    license: str


def dependencies(*extras: str) -> list[Dependency]:
    """Return what Plimsoll needs with these extras, directly or not, by name; raises PackageNotFoundError for one that is missing."""
    found: dict[str, Distribution] = {}
    seen, todo = set(), [(NAME, frozenset(extras))]
    while todo:
        if (item := todo.pop()) in seen:
            continue
        seen.add(item)
        found[item[0]] = one = distribution(item[0])
        for needed in _needed(one, item[1]):
            todo.append((normalized(needed.name), frozenset(needed.extras)))
    del found[NAME]
    return [Dependency(name, one.version, license_of(name, one)) for name, one in sorted(found.items())]


def normalized(name: str) -> str:
    """Return a name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _needed(one: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    for text in one.requires or ():
        needed = Requirement(text)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield needed


def license_of(name: str, one: Distribution) -> str:
    """Return the SPDX expression: as stated, as classified, or as read."""
    stated = _first(one, "License-Expression")
    classified = [
        kind.rpartition(" :: ")[2] for kind in one.metadata.get_all("Classifier") or () if "License ::" in kind
    ]
    spdx = [_CLASSIFIERS[kind] for kind in classified if kind in _CLASSIFIERS]
    text = _first(one, "License")
    return stated or READ.get(name) or " OR ".join(spdx) or (text if text in ALLOWED else "")


def _first(one: Distribution, key: str) -> str:
    return str((one.metadata.get_all(key) or [""])[0])


def page() -> str:
    """Return the reference page."""
    users = {one.name for one in dependencies(*USERS)}
    rows = [
        f"| {one.name} | {one.license} | {'run' if one.name in users else 'development'} |"
        for one in dependencies(*USERS, *DEVELOPERS)
    ]
    heading = (
        "# Dependencies and licenses\n\n"
        "For reviewers of the supply chain: every Python distribution that Plimsoll needs, its license (SPDX), and whether it runs in\n"
        "production or only in development. Versions are in `requirements.lock`. `make sbom` writes the software bill of materials.\n\n"
        "| Distribution | License | Needed for |\n|---|---|---|\n"
    )
    return heading + "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(page(), end="")

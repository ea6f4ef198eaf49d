"""Imports form a star around slo; a GPU node's part stays light; one home for each metric name."""

import ast
import re
from pathlib import Path

import pytest

from slo import catalogue, series

ROOT = Path(__file__).parent.parent
PACKAGES = ("exporters", "slo", "alerts", "dashboards", "compose")
VOCABULARY = {"slo.spec", "slo.catalogue", "slo.quantities", "slo.spans", "slo.xids"}
MATHEMATICS = {"slo.bounds", "slo.burn", "slo.indicators", "slo.series", "slo.links"}
MAY_IMPORT = {
    "slo": set(),
    "exporters": VOCABULARY,
    "alerts": VOCABULARY | MATHEMATICS,
    "dashboards": VOCABULARY | MATHEMATICS,
}
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def is_module(path: Path) -> bool:
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            files = {name for name in inner if is_module(ROOT / name.replace(".", "/"))}
            found |= files or {node.module}
    return {name for name in found if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_its_place_allows(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    if package == "compose":
        return
    foreign = {name for name in imports(path) if name.split(".")[0] != package}
    assert foreign <= MAY_IMPORT[package], f"{path.relative_to(ROOT)} imports {foreign - MAY_IMPORT[package]}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_small_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 300
    assert ast.get_docstring(ast.parse(text)), "the first line says what the module is for"


def test_our_metric_and_series_names_are_spelled_in_one_place_only() -> None:
    names = [*catalogue.BY_NAME, series.GOOD_RATE, series.GOOD_AT_BEST, series.TOTAL_RATE, series.TARGET]
    spelled = re.compile("|".join(rf"(?<![a-z]){re.escape(name)}(?![a-z_])" for name in names))
    homes = {*(ROOT / "slo" / "catalogue").glob("*.py"), ROOT / "slo" / "series.py"}
    strays = {}
    for path in MODULES:
        if path in homes:
            continue
        docstrings = {
            ast.get_docstring(node, clean=False)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        }
        literals = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in docstrings
        ]
        found = {match[0] for text in literals for match in spelled.finditer(text)}
        if found:
            strays[str(path.relative_to(ROOT))] = found
    assert strays == {}


def test_the_catalogue_keeps_the_naming_rules() -> None:
    for metric in catalogue.ALL:
        assert re.fullmatch(r"(llm|gpu|plimsoll)_[a-z0-9_]+", metric.name), metric.name
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not re.search(r"_(ms|mb|mib|mhz|percent|perc|celcius)(_|$)", metric.name), metric.name
        assert metric.help.endswith("."), metric.name
        if metric.name.startswith("gpu_"):
            assert metric.labels[0] == "uuid", metric.name

"""Imports point one way, from layer to layer; a GPU node's part stays light; one home for each metric name."""

import ast
import re
from collections import Counter
from graphlib import TopologicalSorter
from pathlib import Path

from each_case import each_case
from paths import ROOT
from plimsoll.slo import metrics
from plimsoll.slo.metrics import recorded

PACKAGES = ("exporters", "slo", "alerts", "dashboards", "compose")
# Each folder (or module) of slo/ imports only those before it.
LAYERS = (
    *(
        "units",
        "calendar",
        "links",
        "hosts",
        "private_file",
        "strict_yaml",
        "strict_json",
        "csv_table",
        "metrics",
        "spec",
        "sources",
        "sli",
        "usage",
    ),
    *("exchange", "error_budget", "ledger", "capacity", "checks", "reports", "service"),
)
# What the other packages may import of slo/; compose may import everything, and nothing imports compose.
LIGHT = {
    "units",
    "calendar",
    "links",
    "hosts",
    "strict_yaml",
    "strict_json",
    "metrics",
    "spec",
    "sources",
    "sli",
    "error_budget",
}
MOST_MODULES = 17
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 300, 40
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
each_module = each_case((str(path.relative_to(ROOT)), path) for path in MODULES)


def is_module(path: Path) -> bool:
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, as paths with dots: `slo.ledger.slots`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "plimsoll":
            module = node.module.removeprefix("plimsoll").removeprefix(".")
            inner = {f"{module}.{alias.name}".lstrip(".") for alias in node.names}
            found |= {name for name in inner if is_module(ROOT / name.replace(".", "/"))} or {module}
    return found


def room(name: str) -> str:
    """Folder or module of slo/ that a dotted name is in."""
    return name.split(".")[1]


@each_module
def test_a_module_imports_only_what_its_place_allows(path: Path) -> None:
    package, *rest = path.relative_to(ROOT).with_suffix("").parts
    foreign = {name for name in imports(path) if name.split(".")[0] != package}
    if package == "slo":
        assert not foreign
        above = {name for name in imports(path) if LAYERS.index(room(name)) > LAYERS.index(rest[0])}
        assert not above, "imports what stands above it"
    elif package != "compose":
        assert {name for name in foreign if name.split(".")[0] != "slo" or room(name) not in LIGHT} == set()


def test_folders_do_not_import_each_other_in_a_circle() -> None:
    arrows: dict[str, set[str]] = {}
    for path in MODULES:
        here = path.parent.relative_to(ROOT).as_posix()
        for name in imports(path):
            target = ROOT / name.replace(".", "/")
            there = (target if target.is_dir() else target.parent).relative_to(ROOT).as_posix()
            if there != here and not there.startswith(f"{here}/") and not here.startswith(f"{there}/"):
                arrows.setdefault(here, set()).add(there)
    assert tuple(TopologicalSorter(arrows).static_order()), "a circle raises CycleError"


def test_a_folder_has_no_more_modules_than_one_sees_at_a_glance() -> None:
    folders = Counter(path.parent.relative_to(ROOT).as_posix() for path in MODULES if path.name != "__init__.py")
    assert {name: count for name, count in folders.items() if count > MOST_MODULES} == {}


@each_module
def test_a_module_is_small_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    assert ast.get_docstring(ast.parse(text)), "the first line says what the module is for"


@each_module
def test_a_function_fits_on_a_screen(path: Path) -> None:
    if "migrations" in path.parts:
        return  # a migration that was released is never changed
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    lengths = {node.name: (node.end_lineno or 0) - node.lineno + 1 for node in functions}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES_OF_A_FUNCTION} == {}


def test_our_metric_and_series_names_are_spelled_in_one_place_only() -> None:
    names = [*metrics.BY_NAME, recorded.GOOD_RATE, recorded.GOOD_UPPER_BOUND, recorded.TOTAL_RATE, recorded.TARGET]
    spelled = re.compile("|".join(rf"(?<![a-z]){re.escape(name)}(?![a-z_])" for name in names))
    homes = {*(ROOT / "slo" / "metrics").glob("*.py")}
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
    for metric in metrics.ALL:
        assert re.fullmatch(r"(llm|gpu|nvswitch|plimsoll)_[a-z0-9_]+", metric.name), metric.name
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert not re.search(r"_(ms|mb|mib|mhz|percent|perc|celcius)(_|$)", metric.name), metric.name
        assert metric.help.endswith("."), metric.name
        if metric.name.startswith("gpu_"):
            assert metric.labels[0] == "uuid", metric.name


def annotated(node: ast.stmt) -> list[ast.expr]:
    """Annotations of a field or a method."""
    if isinstance(node, ast.AnnAssign):
        return [node.annotation]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        return [one for one in (node.returns, *(each.annotation for each in every if each)) if one]
    return []


def bound(node: ast.stmt) -> set[str]:
    """Names to which a statement of a class gives a value."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    has_value = getattr(node, "value", None) is not None
    return {one.id for one in targets if isinstance(one, ast.Name)} if has_value else set()


@each_module
def test_no_name_of_a_class_hides_a_type_that_its_annotations_use(path: Path) -> None:
    """Python 3.14 evaluates annotations late: `date: date = None` is then None, and what reads annotations (dataclasses) fails."""
    for one in ast.walk(ast.parse(path.read_text())):
        if isinstance(one, ast.ClassDef):
            names = {
                name.id
                for node in one.body
                for note in annotated(node)
                for name in ast.walk(note)
                if isinstance(name, ast.Name)
            }
            assert names & {name for node in one.body for name in bound(node)} == set(), one.name

"""Layout, panels, variables and thresholds of the dashboards.

The 17 rules of grafana/dashboard-linter are here and in the tests of links and queries. Where it requires `job` and
`instance`, these dashboards narrow by region, node, model and replica.
"""

import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from boards import OBJECTIVES, RENDERED, SPEC, each_board, each_panel
from paths import ROOT
from plimsoll.compose.commands.slos.build import rendered
from plimsoll.dashboards import drilldown
from plimsoll.dashboards.build import boards
from plimsoll.dashboards.panels import GREY, SERIES
from plimsoll.slo import links
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.spec.objectives import Spec, load
from promql import Dashboard, panels

UNITS = {"none", "short", "percentunit", "s", "reqps", "celsius", "bytes", "watt", "joule", "currencyUSD"}


# Files ------------------------------------------------------------------------------------------------------
def test_the_committed_files_are_what_the_objectives_give() -> None:
    folder = ROOT / "dashboards" / "generated"
    on_disk = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    written = rendered(SPEC)["dashboards"]
    assert RENDERED.items() <= written.items()
    assert on_disk.keys() == written.keys(), "run `make generate`: a file is missing or no longer generated"
    assert {name for name, text in written.items() if on_disk[name] != text} == set(), "run `make generate`"


def test_the_same_objectives_give_the_same_bytes() -> None:
    assert boards(load(OBJECTIVES)) == RENDERED


# Layout -----------------------------------------------------------------------------------------------------
@each_board
def test_panels_neither_overlap_nor_leave_the_grid(board: Dashboard) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24, panel["title"]
        for cell in itertools.product(range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]


@each_board
def test_ids_and_query_letters_are_unique_and_ids_follow_titles(board: Dashboard) -> None:
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert ids == [links.panel_id(panel["title"]) for panel in board["panels"]]
    for panel in panels(board):
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)


@each_board
def test_the_first_row_of_a_dashboard_counts_simulated_replicas(board: Dashboard) -> None:
    (tile,) = (panel for panel in board["panels"] if panel["title"] == "Simulated replicas")
    assert tile["gridPos"]["y"] == 0
    assert 'simulated="true"' in tile["targets"][0]["expr"]


@each_board
def test_a_dashboard_cannot_be_edited_away_from_its_file(board: Dashboard) -> None:
    assert board["editable"] is False
    assert board["schemaVersion"] == 39


# Panels -----------------------------------------------------------------------------------------------------
@each_panel
def test_a_panel_has_a_description_a_unit_and_a_text_for_no_data(panel: Mapping[str, Any]) -> None:
    field = panel["fieldConfig"]["defaults"]
    assert panel["title"]
    assert len(panel["description"]) > 40
    assert field["unit"] in UNITS or field["unit"].startswith("suffix: ")
    assert field["noValue"].startswith("No ") or field["noValue"].endswith(" off")
    assert panel["targets"]


@each_panel
def test_a_panel_and_its_queries_use_the_chosen_data_source(panel: Mapping[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == chosen
    assert [target["datasource"] for target in panel["targets"]] == [chosen] * len(panel["targets"])


@each_panel
def test_colors_are_color_blind_safe(panel: Mapping[str, Any]) -> None:
    safe = {*SERIES, GREY, "transparent"}
    colors = {value for key, value in _leaves(panel["fieldConfig"]) if key in ("color", "fixedColor")}
    assert colors <= safe


@each_panel
def test_a_stale_number_is_not_shown_as_current(panel: Mapping[str, Any]) -> None:
    if panel["type"] in ("stat", "table"):
        assert all(target["instant"] for target in panel["targets"])
    if panel["type"] == "timeseries":
        assert panel["fieldConfig"]["defaults"]["custom"]["spanNulls"] is False


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, key)
    else:
        yield key, value


# Variables --------------------------------------------------------------------------------------------------
@each_board
def test_variables_begin_with_the_data_sources_and_follow_the_time_range(board: Dashboard) -> None:
    sources, rest = board["templating"]["list"][:2], board["templating"]["list"][2:]
    assert [(one["type"], one["name"], one["query"], one["label"]) for one in sources] == [
        ("datasource", "datasource", "prometheus", "Data source"),
        ("datasource", "traces", "tempo", "Traces"),
    ]
    assert [one["name"] for one in rest if one["name"] not in ("version", "objective")] == list(drilldown.SHARED[2:])
    for variable in rest:
        assert variable["multi"] and variable["includeAll"]
        assert variable["current"] == {"text": ["All"], "value": ["$__all"]}
        if variable["type"] == "query":
            assert variable["refresh"] == 2
            assert variable["datasource"] == first_datasource()


def first_datasource() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}


# Objectives -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new", "title", "value"),
    [
        ("time_to_first_token: 600ms", "time_to_first_token: 700ms", "Time to first token", 0.7),
        ("time_per_output_token: 40ms", "time_per_output_token: 30ms", "Time per output token", 0.03),
        ("request_duration: 4s", "request_duration: 9s", "End-to-end latency", 9),
        ("max_waiting_per_node: 20", "max_waiting_per_node: 33", "Waiting requests", 33),
        ("replicas: 1", "replicas: 2", "Waiting requests", 10),
        ("target: 99.9%", "target: 98%", "SLI (5 min)", 0.98),
    ],
)
def test_a_changed_objective_moves_its_line(old: str, new: str, title: str, value: float) -> None:
    assert value not in _lines(SPEC, title)
    assert value in _lines(load(OBJECTIVES.replace(old, new)), title)


def test_a_tile_turns_red_at_the_threshold_that_pages() -> None:
    red = _red_burn(SPEC)
    assert red == {
        one.id: round(burn_rate.tiers(one.window.seconds, one.budget_ratio)[0].threshold, 3) for one in SPEC.objectives
    }
    assert red["chat-availability"] == 14.4
    shorter = load(OBJECTIVES.replace("target: 95%, window: 28d", "target: 95%, window: 21d"))
    assert _red_burn(shorter)["chat-ttft"] == 10.08  # 2 % of the budget in an hour of 504


def _red_burn(spec: Spec) -> dict[str, float]:
    overrides = _panel(spec, "Current burn rate")["fieldConfig"]["overrides"]
    return {one["matcher"]["options"]: one["properties"][0]["value"]["steps"][-1]["value"] for one in overrides}


def _lines(spec: Spec, title: str) -> list[float]:
    return [step["value"] for step in _panel(spec, title)["fieldConfig"]["defaults"]["thresholds"]["steps"]]


def _panel(spec: Spec, title: str) -> Mapping[str, Any]:
    return next(
        panel for text in boards(spec).values() for panel in panels(json.loads(text)) if panel["title"] == title
    )


SECOND_POOL = """
  - name: code-8b
    model: code/model-8B
    node: {gpu: H100-80GB, gpus: 1}
    nodes: {min: 1, max: 4}
    timing: {cold_start: 60s, warm_start: 5s, scale_in_stabilization: 300s}
    max_waiting_per_node: 7
objectives:
  - {id: code-ttft, pool: code-8b, indicator: {time_to_first_token: 250ms}, target: 99%, window: 7d}
"""


def test_two_pools_stay_apart() -> None:
    spec = load(OBJECTIVES.replace("\nobjectives:\n", SECOND_POOL))
    first_token = _panel(spec, "Time to first token")
    assert {target["legendFormat"] for target in first_token["targets"]} == {
        f"{one} {{{{model}}}}" for one in ("p50", "p95", "p99")
    }
    assert _lines(spec, "Time to first token")[1:] == [0.25, 0.6]
    assert _lines(spec, "Waiting requests")[1:] == [7, 20]
    assert len(_panel(spec, "Burn-rate alert state")["targets"]) == 3  # tiers differ by target and by window

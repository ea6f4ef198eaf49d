"""Dashboards as an engineer meets them: a whole layout, links that lead somewhere, numbers that come from the objectives.

The rules of Grafana's own dashboard linter (grafana/dashboard-linter, 17 of them) are here too, re-stated for normalised
metrics: where it asks for `job` and `instance`, these dashboards narrow by model, replica and pool.
"""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
import yaml

from alerts.build import render as render_alerts
from dashboards.build import render
from dashboards.panels import GREY, SERIES
from promql import Dashboard, annotation_queries, nodes, panel_queries, panels, variable_queries
from slo import burn, catalogue, links, series
from slo.spec import Spec, load

ROOT = Path(__file__).parents[1]
OBJECTIVES = (ROOT / "slo" / "objectives.yaml").read_text()
SPEC = load(OBJECTIVES)
RENDERED = render(SPEC)
BOARDS: Mapping[str, Dashboard] = {name: json.loads(text) for name, text in RENDERED.items()}
BY_UID = {board["uid"]: board for board in BOARDS.values()}
PANELS = [
    pytest.param(panel, id=f"{name}:{panel['title']}") for name, board in BOARDS.items() for panel in panels(board)
]
QUERIES = [
    pytest.param(query.expr, id=f"{name}:{query.panel}:{query.ref}")
    for name, board in BOARDS.items()
    for query in (*panel_queries(board), *variable_queries(board))
]
RULES = [
    rule
    for name, text in render_alerts(SPEC).items()
    if name.endswith(".rules.yml")
    for group in yaml.safe_load(text)["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
RATES = ("rate", "irate", "increase")
WINDOWS = {
    window
    for one in SPEC.objectives
    for tier in burn.tiers(one.window.seconds, one.budget_ratio)
    for window in (tier.long, tier.short)
}
RECORDED = {
    series.GOOD_RATE,
    series.TOTAL_RATE,
    series.TARGET,
    *(name(window) for name in (series.burn_rate, series.bad_requests) for window in WINDOWS),
}
UNITS = {"none", "short", "percentunit", "s", "reqps", "celsius", "bytes", "watt", "joule", "currencyUSD"}

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())
each_panel = pytest.mark.parametrize("panel", PANELS)
each_query = pytest.mark.parametrize("expr", QUERIES)


# Files ------------------------------------------------------------------------------------------------------
def test_the_committed_files_are_what_the_objectives_give() -> None:
    folder = ROOT / "dashboards" / "generated"
    on_disk = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert on_disk.keys() == RENDERED.keys(), "run `make generate`: a dashboard is missing or nobody writes it any more"
    assert {name for name, text in RENDERED.items() if on_disk[name] != text} == set(), "run `make generate`"


def test_the_same_objectives_give_the_same_bytes() -> None:
    assert render(load(OBJECTIVES)) == RENDERED


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
def test_a_dashboard_says_in_its_first_row_what_is_simulated(board: Dashboard) -> None:
    (tile,) = (panel for panel in board["panels"] if panel["title"] == "Simulated replicas")
    assert tile["gridPos"]["y"] == 0
    assert 'simulated="true"' in tile["targets"][0]["expr"]


@each_board
def test_a_dashboard_cannot_be_edited_away_from_its_file(board: Dashboard) -> None:
    assert board["editable"] is False
    assert board["schemaVersion"] == 39


# Panels -----------------------------------------------------------------------------------------------------
@each_panel
def test_a_panel_says_what_it_shows_in_which_unit_and_what_silence_means(panel: Mapping[str, Any]) -> None:
    field = panel["fieldConfig"]["defaults"]
    assert panel["title"]
    assert len(panel["description"]) > 40
    assert field["unit"] in UNITS or field["unit"].startswith("suffix: ")
    assert field["noValue"] not in ("", "none", "0", "-")
    assert panel["targets"]


@each_panel
def test_a_panel_and_its_queries_use_the_chosen_data_source(panel: Mapping[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    assert panel["datasource"] == chosen
    assert [target["datasource"] for target in panel["targets"]] == [chosen] * len(panel["targets"])


@each_panel
def test_colours_with_a_meaning_are_colour_blind_safe(panel: Mapping[str, Any]) -> None:
    safe = {*SERIES, GREY, "transparent"}
    colours = {value for key, value in _leaves(panel["fieldConfig"]) if key in ("color", "fixedColor")}
    assert colours <= safe


@each_panel
def test_a_number_that_stopped_is_not_shown_as_if_it_were_current(panel: Mapping[str, Any]) -> None:
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
def test_variables_begin_with_the_data_source_and_follow_the_time_range(board: Dashboard) -> None:
    first, *rest = board["templating"]["list"]
    assert (first["type"], first["name"], first["query"], first["label"]) == (
        "datasource",
        "datasource",
        "prometheus",
        "Data source",
    )
    assert [one["name"] for one in rest][:1] == ["pool"]
    for variable in rest:
        assert variable["multi"] and variable["includeAll"]
        assert variable["current"] == {"text": ["All"], "value": ["$__all"]}
        if variable["type"] == "query":
            assert variable["refresh"] == 2
            assert variable["datasource"] == first_datasource()


def first_datasource() -> dict[str, str]:
    return {"type": "prometheus", "uid": "${datasource}"}


# Links ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("panel", [value for value in vars(links).values() if isinstance(value, links.Panel)], ids=str)
def test_every_panel_that_an_alert_may_name_exists(panel: links.Panel) -> None:
    titles = {found["title"]: found["id"] for found in panels(BY_UID[panel.dashboard])}
    assert titles[panel.title] == panel.id


@pytest.mark.parametrize("uid", BY_UID)
def test_every_link_leads_somewhere_and_keeps_time_and_variables(uid: str) -> None:
    board = BY_UID[uid]
    urls = [link["url"] for panel in panels(board) for link in panel["fieldConfig"]["defaults"]["links"]]
    assert urls
    for url in urls:
        if url.startswith("/"):
            _check_inner(board, url)
        else:
            assert url.startswith((links.objective_url("${__"), links.recommendation_url(SPEC.pools[0].name)))


def _check_inner(board: Dashboard, url: str) -> None:
    parts = urlparse(url)
    target = BY_UID[parts.path.removeprefix("/d/")]
    known = {variable["name"] for variable in target["templating"]["list"]}
    asked = parse_qs(parts.query, keep_blank_values=True)
    assert {int(one) for one in asked.get("viewPanel", ())} <= {panel["id"] for panel in panels(target)}
    assert {name.removeprefix("var-") for name in asked if name.startswith("var-")} <= known
    assert "${__url_time_range}" in url
    carried = set(re.findall(r"\$\{(\w+):queryparam\}", url))
    assert carried <= {variable["name"] for variable in board["templating"]["list"]}
    assert "${__all_variables}" in url or {"datasource", "pool"} <= carried


@each_board
def test_every_dashboard_leads_to_the_others_the_runbooks_and_the_service(board: Dashboard) -> None:
    found = {link["url"]: (link["keepTime"], link["includeVars"]) for link in board["links"]}
    assert {f"/d/{uid}" for uid in BY_UID} <= found.keys()
    assert all(found[f"/d/{uid}"] == (True, True) for uid in BY_UID)
    assert {links.runbooks_url(), links.SERVICE_URL} <= found.keys()


def test_links_to_the_service_follow_its_address() -> None:
    elsewhere = "".join(render(SPEC, "https://slo.example.org/").values())
    assert "https://slo.example.org/api/v1/slos/" in elsewhere
    assert "https://slo.example.org/runbooks" in elsewhere
    assert links.SERVICE_URL not in elsewhere


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_an_alerts_link_opens_a_panel_and_sets_variables_that_it_has(rule: Mapping[str, Any]) -> None:
    parts = urlparse(rule["annotations"]["dashboard_url"])
    board = BY_UID[parts.path.removeprefix("/d/")]
    asked = parse_qs(parts.query)
    assert int(asked.pop("viewPanel")[0]) in {panel["id"] for panel in panels(board)}
    assert asked.keys() <= {f"var-{variable['name']}" for variable in board["templating"]["list"]}


# Objectives -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new", "title", "value"),
    [
        ("time_to_first_token: 600ms", "time_to_first_token: 700ms", "Time to first token", 0.7),
        ("time_per_output_token: 40ms", "time_per_output_token: 30ms", "Time per output token", 0.03),
        ("request_duration: 4s", "request_duration: 9s", "Whole request", 9),
        ("queue_per_node: 20", "queue_per_node: 33", "Waiting requests", 33),
        ("replicas: 1", "replicas: 2", "Waiting requests", 10),
        ("target: 99.9%", "target: 98%", "Good requests, share over 5 minutes", 0.98),
    ],
)
def test_a_changed_objective_moves_its_line(old: str, new: str, title: str, value: float) -> None:
    assert value not in _lines(SPEC, title)
    assert value in _lines(load(OBJECTIVES.replace(old, new)), title)


def test_a_tile_turns_red_at_the_factor_that_pages() -> None:
    red = _red_burn(SPEC)
    assert red == {
        one.id: round(burn.tiers(one.window.seconds, one.budget_ratio)[0].factor, 3) for one in SPEC.objectives
    }
    assert red["chat-availability"] == 14.4
    shorter = load(OBJECTIVES.replace("target: 95%, window: 28d", "target: 95%, window: 21d"))
    assert _red_burn(shorter)["chat-ttft"] == 10.08  # 2 % of the budget in an hour of 504


def _red_burn(spec: Spec) -> dict[str, float]:
    overrides = _panel(spec, "Burn rate now")["fieldConfig"]["overrides"]
    return {one["matcher"]["options"]: one["properties"][0]["value"]["steps"][-1]["value"] for one in overrides}


def _lines(spec: Spec, title: str) -> list[float]:
    return [step["value"] for step in _panel(spec, title)["fieldConfig"]["defaults"]["thresholds"]["steps"]]


def _panel(spec: Spec, title: str) -> Mapping[str, Any]:
    return next(
        panel for text in render(spec).values() for panel in panels(json.loads(text)) if panel["title"] == title
    )


SECOND_POOL = """
  - name: code-8b
    model: code/model-8B
    node: {gpu: H100-80GB, gpus: 1}
    nodes: {min: 1, max: 4}
    timing: {cold_start: 60s, warm_start: 5s, scale_in_hold: 300s}
    queue_per_node: 7
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
    assert len(_panel(spec, "Burn alerts due")["targets"]) == 3  # tiers differ by target and by window


def test_objectives_too_short_for_any_burn_alert_still_have_dashboards() -> None:
    spec = load(
        OBJECTIVES.replace("window: 28d", "window: 30m").replace(
            "window: {calendar: month, timezone: UTC}", "window: 1h"
        )
    )
    titles = {panel["title"] for text in render(spec).values() for panel in panels(json.loads(text))}
    assert {"Budget left", "Coverage"} <= titles
    assert not titles & {"Burn rate now", "Burn rate by objective", "Burn alerts due"}


# Queries ----------------------------------------------------------------------------------------------------
@each_query
def test_a_query_names_only_known_metrics_and_their_labels(expr: str) -> None:
    for selector in _selectors(expr):
        if selector.name == "ALERTS":
            continue
        if selector.name in RECORDED:
            known = {"objective", "pool"}
        else:
            metric, part = _metric(selector.name)
            assert part in (("",) if metric.kind != "histogram" else ("_bucket", "_sum", "_count")), selector.name
            known = {*metric.labels, "instance", "le"}
        assert {matcher.name for matcher in selector.matchers.matchers} <= known, selector.name


@each_query
def test_counters_are_read_only_as_rates_and_gauges_never(expr: str) -> None:
    for node, path in nodes(expr):
        if type(node).__name__ != "VectorSelector" or node.name in (*RECORDED, "ALERTS"):
            continue
        rated = any(type(outer).__name__ == "Call" and outer.func.name in RATES for outer in path)
        assert rated == (_metric(node.name)[0].kind != "gauge"), node.name


@each_query
def test_nothing_is_averaged(expr: str) -> None:
    """An average of quantiles or of ratios is a number about no request at all."""
    for node, _ in nodes(expr):
        kind = type(node).__name__
        assert not (kind == "AggregateExpr" and str(node.op) in ("avg", "quantile", "stddev", "stdvar"))
        assert not (
            kind == "Call" and node.func.name in ("avg_over_time", "quantile_over_time", "irate", "delta", "deriv")
        )


@each_query
def test_a_quantile_is_taken_from_summed_bucket_rates_by_le(expr: str) -> None:
    for node, path in nodes(expr):
        if type(node).__name__ == "Call" and node.func.name == "histogram_quantile":
            summed = node.args[1]
            assert type(summed).__name__ == "AggregateExpr"
            assert str(summed.op) == "sum"
            assert "le" in summed.modifier.labels
            rated = summed.expr.lhs if type(summed.expr).__name__ == "BinaryExpr" else summed.expr
            assert rated.func.name == "rate"
            assert not any(type(outer).__name__ == "AggregateExpr" for outer in path), "a quantile of quantiles"


@each_query
def test_a_rate_looks_back_as_far_as_the_scrape_interval_asks(expr: str) -> None:
    """`$__rate_interval` stands for 8 minutes here, which nobody would type."""
    for node, path in nodes(expr):
        if type(node).__name__ == "MatrixSelector" and path[-1].func.name in (*RATES, "changes"):
            assert node.range.total_seconds() == 480


@pytest.mark.parametrize(("name", "board"), BOARDS.items())
def test_every_engine_query_is_narrowed_by_the_variables(name: str, board: Dashboard) -> None:
    for query in panel_queries(board, model="M", replica="R", pool="P", objective="O"):
        if query.panel == "Alerts firing" or "last_over_time" in query.expr:
            continue
        for selector in _selectors(query.expr):
            given = {(matcher.name, matcher.value) for matcher in selector.matchers.matchers}
            if selector.name in RECORDED:
                assert ("pool", "P") in given, query
            elif selector.name in catalogue.BY_NAME or selector.name.endswith("_bucket"):
                wanted = {"model": "M", "replica": "R", "pool": "P"}
                labels = _metric(selector.name)[0].labels
                assert {(name, value) for name, value in wanted.items() if name in labels} <= given, query


@each_board
def test_annotations_mark_alerts_and_starts(board: Dashboard) -> None:
    names = {selector.name for query in annotation_queries(board) for selector in _selectors(query.expr)}
    assert names == {"ALERTS", catalogue.REPLICA_START.name}


def _selectors(expr: str) -> list[Any]:
    return [node for node, _ in nodes(expr) if type(node).__name__ == "VectorSelector"]


def _metric(name: str) -> tuple[catalogue.Metric, str]:
    for part in ("", "_bucket", "_sum", "_count"):
        metric = catalogue.BY_NAME.get(name.removesuffix(part))
        if metric is not None and name.endswith(part):
            return metric, part
    raise AssertionError(f"{name} is neither in the catalogue nor a recorded series")

"""Links of the dashboards, and of alerts to them: each has a target and keeps the time range and the variables."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

import pytest

from boards import BY_UID, RULES, SPEC, each_board, each_panel
from each_case import each_case
from paths import ROOT
from plimsoll.dashboards import drilldown
from plimsoll.dashboards.build import boards
from plimsoll.slo import links
from plimsoll.slo.metrics import recorded, trace_attributes
from plimsoll.slo.service.pages.runbooks import render_runbooks
from promql import Dashboard, panels

ALERTS = [rule for rule in RULES if "alert" in rule]


# Links ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("panel", [value for value in vars(links).values() if isinstance(value, links.Panel)], ids=str)
def test_every_panel_that_an_alert_may_link_to_exists(panel: links.Panel) -> None:
    titles = {found["title"]: found["id"] for found in panels(BY_UID[panel.dashboard])}
    assert titles[panel.title] == panel.id


@each_panel
def test_every_panel_has_a_link(panel: Mapping[str, Any]) -> None:
    assert panel["fieldConfig"]["defaults"]["links"], panel["title"]


@pytest.mark.parametrize("uid", BY_UID)
def test_every_link_has_a_target_and_keeps_time_and_variables(uid: str) -> None:
    board = BY_UID[uid]
    for panel in panels(board):
        for url in [link["url"] for link in panel["fieldConfig"]["defaults"]["links"]]:
            if url.startswith("/d/"):
                _check_inner(board, url)
            elif url.startswith("/explore?"):
                _check_traces(board, url)
            else:
                signature = f"{links.runbooks_url()}#${{__field.labels.signature}}"
                assert url.startswith((links.slo_page("${__"), links.pool_page(SPEC.pools[0].name), signature))


def _check_inner(board: Dashboard, url: str) -> None:
    parts = urlparse(url)
    target = BY_UID[parts.path.removeprefix("/d/")]
    known = {variable["name"] for variable in target["templating"]["list"]}
    parameters = parse_qs(parts.query, keep_blank_values=True)
    assert {int(one) for one in parameters.get("viewPanel", ())} <= {panel["id"] for panel in panels(target)}
    given = {name.removeprefix("var-") for name in parameters if name.startswith("var-")}
    assert given <= known
    assert "${__url_time_range}" in url
    carried = set(re.findall(r"\$\{(\w+):queryparam\}", url))
    assert carried <= {variable["name"] for variable in board["templating"]["list"]}
    assert "${__all_variables}" in url or carried | given >= set(drilldown.SHARED)
    assert not carried & given, "a variable with both values"


def _check_traces(board: Dashboard, url: str) -> None:
    """Check the TraceQL in an Explore address: its attributes are those that the gateway writes."""
    (panes,) = parse_qs(urlparse(url).query)["panes"]
    pane = json.loads(panes)["a"]
    query = pane["queries"][0]["query"]
    assert pane["datasource"] == pane["queries"][0]["datasource"]["uid"] == "${traces}"
    assert pane["range"] == {"from": "${__from}", "to": "${__to}"}
    attributes = {value for value in vars(trace_attributes).values() if isinstance(value, str)}
    assert set(re.findall(r"span\.([\w.]+)", query)) <= attributes
    assert {trace_attributes.TENANT, trace_attributes.PROMPT_CLASS, trace_attributes.REPLICA} <= set(
        re.findall(r"span\.([\w.]+)", query)
    )
    variables = set(re.findall(r"\$\{(\w+)", url)) - {"__from", "__to"}
    assert variables <= {variable["name"] for variable in board["templating"]["list"]}


def test_the_trace_links_cover_every_prompt_class_once() -> None:
    """Short and long together are all classes, and no class is in both."""
    classes = [re.findall(r"[<>]=?\d+", unquote(link["url"])) for link in drilldown.traces()]
    everything = [
        *(f"<={bound}" for bound in trace_attributes.PROMPT_CLASSES),
        f">{trace_attributes.PROMPT_CLASSES[-1]}",
    ]
    assert classes[0] == []
    assert sorted(classes[1] + classes[2]) == sorted(everything)


def test_every_incident_signature_has_an_anchor_in_the_runbooks() -> None:
    page = render_runbooks((ROOT / "alerts" / "runbooks.md").read_text())
    for signature in recorded.INCIDENT_SIGNATURES:
        assert f'id="{signature}"' in page


@each_board
def test_every_dashboard_links_to_the_others_the_runbooks_and_the_service(board: Dashboard) -> None:
    found = {link["url"]: (link["keepTime"], link["includeVars"]) for link in board["links"]}
    assert {f"/d/{uid}" for uid in BY_UID} <= found.keys()
    assert all(found[f"/d/{uid}"] == (True, True) for uid in BY_UID)
    assert {links.runbooks_url(), links.SERVICE_URL} <= found.keys()


def test_links_to_the_service_follow_its_address() -> None:
    elsewhere = "".join(boards(SPEC, "https://slo.example.org/").values())
    assert "https://slo.example.org/slos/" in elsewhere
    assert "https://slo.example.org/runbooks" in elsewhere
    assert links.SERVICE_URL not in elsewhere


@each_case((f"{rule['alert']} {rule['labels']['severity']}", rule) for rule in ALERTS)
def test_an_alerts_link_opens_a_panel_and_sets_variables_that_it_has(rule: Mapping[str, Any]) -> None:
    parts = urlparse(rule["annotations"]["dashboard_url"])
    board = BY_UID[parts.path.removeprefix("/d/")]
    parameters = parse_qs(parts.query)
    assert int(parameters.pop("viewPanel")[0]) in {panel["id"] for panel in panels(board)}
    assert parameters.keys() <= {f"var-{variable['name']}" for variable in board["templating"]["list"]}

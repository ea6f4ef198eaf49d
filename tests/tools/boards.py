"""The dashboards of the default objectives file, for the tests of layout, links, queries and reference page."""

import json
from collections.abc import Mapping

import yaml

from each_case import each_case
from paths import ROOT
from plimsoll.alerts.build import render as render_alerts
from plimsoll.dashboards.build import boards
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import load
from promql import Dashboard, annotation_queries, panel_queries, panels, variable_queries

OBJECTIVES = (ROOT / "slo" / "objectives.yaml").read_text()
SPEC = load(OBJECTIVES)
RENDERED = boards(SPEC)
BOARDS: Mapping[str, Dashboard] = {name: json.loads(text) for name, text in RENDERED.items()}
BY_UID = {board["uid"]: board for board in BOARDS.values()}
PANELS = [(f"{name}: {panel['title']}", panel) for name, board in BOARDS.items() for panel in panels(board)]
QUERIES = [
    (f"{name}: {query.panel} {query.ref}", query.expr)
    for name, board in BOARDS.items()
    for query in (*panel_queries(board), *variable_queries(board), *annotation_queries(board))
]
RULES = [
    rule
    for name, text in render_alerts(SPEC).items()
    if name.endswith(".rules.yml")
    for group in yaml.safe_load(text)["groups"]
    for rule in group["rules"]
]
WINDOWS = {
    window
    for one in SPEC.objectives
    for tier in burn_rate.tiers(one.window.seconds, one.budget_ratio)
    for window in (tier.long, tier.short)
}
BURNS = {name(window) for name in (recorded.burn_rate, recorded.bad_requests) for window in WINDOWS}
EVALUATED = {recorded.GOOD_RATE, recorded.TOTAL_RATE, recorded.TARGET, *BURNS}
_OF_RULES = {rule["record"] for rule in RULES if "record" in rule}
OF_MODELS = {name for name in _OF_RULES if name.startswith("model:")}
OF_REPLICAS = {name for name in _OF_RULES if name.startswith("replica:")}
# Recorded series that a dashboard may read, with their labels.
RECORDED: Mapping[str, set[str]] = {
    **{name: {"objective", "pool"} for name in EVALUATED},
    **{name: {"le", "model", "region"} for name in OF_MODELS},
    **{name: {"instance", "replica", "model", "region", "node"} for name in OF_REPLICAS},
    **{name: {"instance", "region", "node"} for name in (recorded.NODE_CLOCK, recorded.NODE_TEMPERATURE)},
    recorded.MODEL_POWER: {"model", "region"},
    recorded.CLOCK_RATIO: {"instance", "uuid", "replica", "model", "domain", "against", "region", "node"},
    recorded.ACTIVITY_RATIO: {"instance", "uuid", "replica", "model", "region", "node"},
    recorded.INCIDENT_SIGNATURE: {"pool", "signature", "region"},
}

each_board = each_case(BOARDS.items())
each_panel = each_case(PANELS)
each_query = each_case(QUERIES)

"""Dashboards of an SLO with bounds: both bounds are shown, and a page counts confirmed bad requests only."""

import json
import re

import pytest
import yaml

from boards import OBJECTIVES, RENDERED
from plimsoll.alerts.build import render as render_alerts
from plimsoll.dashboards.build import boards
from plimsoll.slo import metrics
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import load
from promql import Dashboard, panel_queries

BRACKETED = load(OBJECTIVES.replace("id: chat-ttft, ", "id: chat-ttft, bucket_mismatch: bounds, "))
# The recorded burn rate of confirmed bad requests, whichever window.
CONFIRMED = re.compile(recorded.burn_rate(3600, lower_bound=True).removesuffix("1h"))
BOARDS: dict[str, Dashboard] = {name: json.loads(text) for name, text in boards(BRACKETED).items()}
RECORDED = {
    rule["record"]
    for group in yaml.safe_load(render_alerts(BRACKETED)["objectives.rules.yml"])["groups"]
    for rule in group["rules"]
    if "record" in rule
}


def expressions(board: str, panel: str) -> list[str]:
    found = [query.expr for query in panel_queries(BOARDS[board]) if query.panel == panel]
    assert found
    return found


def test_every_bound_that_a_dashboard_reads_is_recorded() -> None:
    text = " ".join(query.expr for board in BOARDS.values() for query in panel_queries(board))
    names = set(re.findall(r"objective:[a-z0-9_]+:[a-z0-9_]+", text))
    assert names <= RECORDED
    assert names >= {recorded.GOOD_UPPER_BOUND, recorded.burn_rate(3600, lower_bound=True)}


@pytest.mark.parametrize(
    ("panel", "bound"),
    [
        ("Error budget remaining by SLO", metrics.BUDGET_REMAINING_UPPER_BOUND.name),
        ("SLI (5 min)", recorded.GOOD_UPPER_BOUND),
    ],
)
def test_both_bounds_are_drawn_and_the_description_explains_them(panel: str, bound: str) -> None:
    lower, upper = expressions("budgets.json", panel)
    assert bound not in lower
    assert bound in upper
    (shown,) = [one for one in BOARDS["budgets.json"]["panels"] if one["title"] == panel]
    assert "the true value lies between its bounds" in shown["description"]


def test_pages_read_the_lower_bound_and_tickets_do_not() -> None:
    (mine,) = [one for one in expressions("budgets.json", "Burn-rate alert state") if 'objective="chat-ttft"' in one]
    pages, tickets = (
        [part for part in mine.split(" or ") if f'"tier", "{severity}-' in part] for severity in ("page", "ticket")
    )
    assert (len(pages), len(tickets)) == (2, 2)
    assert all(len(CONFIRMED.findall(part)) == 2 for part in pages)
    assert not any(CONFIRMED.search(part) for part in tickets)
    now = expressions("oncall.json", "Current burn rate")
    assert [one for one in now if CONFIRMED.search(one)] == [one for one in now if one.count("chat-") == 1]


def test_without_bounds_none_are_drawn() -> None:
    assert not any(CONFIRMED.search(text) or recorded.GOOD_UPPER_BOUND in text for text in RENDERED.values())

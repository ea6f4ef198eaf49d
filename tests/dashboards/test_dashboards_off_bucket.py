"""Dashboards of an objective that is known as an interval: both ends are shown, and what pages is what is surely bad."""

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


def test_every_recorded_end_that_is_asked_for_is_recorded() -> None:
    asked = " ".join(query.expr for board in BOARDS.values() for query in panel_queries(board))
    names = set(re.findall(r"objective:[a-z0-9_]+:[a-z0-9_]+", asked))
    assert names <= RECORDED
    assert {name for name in names if "_bound" in name} >= {
        recorded.GOOD_UPPER_BOUND,
        recorded.burn_rate(3600, lower_bound=True),
    }


@pytest.mark.parametrize(
    ("panel", "end"),
    [
        ("Budget left by objective", metrics.BUDGET_REMAINING_UPPER_BOUND.name),
        ("Good requests, share over 5 minutes", recorded.GOOD_UPPER_BOUND),
    ],
)
def test_both_ends_are_drawn_and_the_description_says_so(panel: str, end: str) -> None:
    sure, other = expressions("budgets.json", panel)
    assert end not in sure
    assert end in other
    (shown,) = [one for one in BOARDS["budgets.json"]["panels"] if one["title"] == panel]
    assert "the truth lies between them" in shown["description"]


def test_pages_read_the_lower_bound_and_tickets_do_not() -> None:
    (mine,) = [one for one in expressions("budgets.json", "Burn alerts due") if 'objective=~"chat-ttft"' in one]
    pages, tickets = (
        [part for part in mine.split(" or ") if f'"tier", "{severity}-' in part] for severity in ("page", "ticket")
    )
    assert (len(pages), len(tickets)) == (2, 2)
    assert all(part.count("_lower_bound") == 2 for part in pages)
    assert not any("_lower_bound" in part for part in tickets)
    now = expressions("oncall.json", "Burn rate now")
    assert [one for one in now if "_lower_bound" in one] == [one for one in now if one.count("chat-") == 1]


def test_without_one_nothing_of_it_is_drawn() -> None:
    bounds = ("_upper_bound", "_lower_bound")
    assert not any(bound in text for bound in bounds for text in RENDERED.values())

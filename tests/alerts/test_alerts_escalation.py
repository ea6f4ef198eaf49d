"""One incident, one key: a graver page has a key of its own, regions don't mute each other, and no event is too large or empty."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from alertmanager_world import alert, to_pagerduty
from pagerduty import PagerDuty
from stack import Alertmanager, wait_for

pytestmark = pytest.mark.prometheus
POOL = {"pool": "chat-70b"}
LIMIT = 512_000  # bytes of an event, by PagerDuty's Events API v2


@contextmanager
def paging(folder: Path) -> Iterator[tuple[PagerDuty, Alertmanager]]:
    with PagerDuty() as pagerduty, Alertmanager(to_pagerduty(folder, pagerduty.url)) as alertmanager:
        yield pagerduty, alertmanager
        assert pagerduty.rejected == []


def send(alertmanager: Alertmanager, *alerts: dict[str, Any], ended: bool = False) -> None:
    ends = {"endsAt": datetime.now(UTC).isoformat()} if ended else {}
    httpx.post(f"{alertmanager.url}/api/v2/alerts", json=[one | ends for one in alerts]).raise_for_status()


def events(pagerduty: PagerDuty, count: int) -> list[dict[str, Any]]:
    wait_for(lambda: len(pagerduty.events) >= count, f"{count} events")
    return pagerduty.events


def test_a_graver_page_of_a_pool_has_a_key_of_its_own_and_each_resolves(tmp_path: Path) -> None:
    steps = [
        alert("LLMReplicasBelowMinimum", "page", impact="risk", **POOL),
        alert("SLOErrorBudgetBurn", "page", impact="degraded", objective="chat-ttft", tier="page-slow", **POOL),
        alert("SLOOutage", "page", impact="outage", objective="chat-ttft", tier="outage", **POOL),
    ]
    with paging(tmp_path) as (pagerduty, alertmanager):
        for count, step in enumerate(steps, 1):
            send(alertmanager, step)
            events(pagerduty, count)
        triggers = list(pagerduty.events)
        send(alertmanager, *steps, ended=True)
        resolves = events(pagerduty, 6)[3:]
    assert [one["payload"]["class"] for one in triggers] == [one["labels"]["alertname"] for one in steps]
    assert len({one["dedup_key"] for one in triggers}) == 3
    assert {one["event_action"] for one in resolves} == {"resolve"}
    assert {one["dedup_key"] for one in resolves} == {one["dedup_key"] for one in triggers}


def test_the_gravest_alert_of_a_group_is_its_headline(tmp_path: Path) -> None:
    sent = [
        alert("LLMPoolDown", "page", impact="outage", **POOL),
        alert("SLOOutage", "page", impact="outage", objective="chat-ttft", tier="outage", **POOL),
        alert("LLMTrafficStopped", "page", impact="outage", **POOL),
    ]
    with paging(tmp_path) as (pagerduty, alertmanager):
        send(alertmanager, *sent)
        [event] = events(pagerduty, 1)
    assert event["payload"]["class"] == "SLOOutage"
    assert event["payload"]["summary"].endswith("(3 alerts)")


def test_what_happens_in_one_region_neither_mutes_nor_joins_anothers_page(tmp_path: Path) -> None:
    europe, america = {"region": "eu", "cluster": "a"}, {"region": "us", "cluster": "a"}
    gpu = {"instance": "n1:9800", "uuid": "GPU-1"}
    sent = [
        alert("SLOExclusionActive", "info", **POOL, **europe),
        alert("SLOOutage", "page", impact="outage", objective="o", tier="outage", **POOL, **europe),
        alert("SLOOutage", "page", impact="outage", objective="o", tier="outage", **POOL, **america),
        alert("PlimsollAllExportersDown", "page", impact="outage", **europe),
        alert("GPULost", "page", impact="risk", **gpu, **europe),
        alert("GPULost", "page", impact="risk", **gpu, **america),
    ]
    with paging(tmp_path) as (pagerduty, alertmanager):
        send(alertmanager, *sent)
        found = events(pagerduty, 3)
        muted = [one["labels"] for one in alertmanager.alerts() if one["status"]["inhibitedBy"]]
    assert sorted((one["alertname"], one["region"]) for one in muted) == [("GPULost", "eu"), ("SLOOutage", "eu")]
    assert sorted(one["payload"]["class"] for one in found) == ["GPULost", "PlimsollAllExportersDown", "SLOOutage"]


def test_another_teams_page_without_texts_has_a_summary_and_no_empty_link(tmp_path: Path) -> None:
    foreign = {"labels": {"alertname": "TheirAlert", "severity": "page"}, "annotations": {}}
    with paging(tmp_path) as (pagerduty, alertmanager):
        send(alertmanager, foreign)
        [event] = events(pagerduty, 1)
    assert event["payload"]["summary"] == "TheirAlert"
    assert event.get("links") in (None, [])


def test_three_thousand_alerts_are_one_event_far_below_the_limit(tmp_path: Path) -> None:
    lost = [
        alert("GPULost", "page", impact="risk", instance=f"n{i}:9800", uuid=f"GPU-{i}", **POOL) for i in range(3000)
    ]
    for one in lost:
        one["annotations"]["description"] = "GPU " * 2000
    with paging(tmp_path) as (pagerduty, alertmanager):
        send(alertmanager, *lost)
        [event] = events(pagerduty, 1)
    assert len(json.dumps(event)) < LIMIT / 10
    assert event["payload"]["summary"].endswith("(3000 alerts)")
    assert event["payload"]["custom_details"]["firing"].count("GPULost: ") == 20
    assert "3000 alerts in all" in event["payload"]["custom_details"]["firing"]

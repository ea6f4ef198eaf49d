"""What an exclusion and an announced rollout mute, by a real Alertmanager."""

from pathlib import Path

import httpx
import pytest

from alertmanager_world import alert, to_pagerduty
from pagerduty import PagerDuty
from stack import Alertmanager, wait_for

pytestmark = pytest.mark.prometheus


def test_an_excluded_pool_is_muted_and_no_other(tmp_path: Path) -> None:
    with PagerDuty() as pagerduty, Alertmanager(to_pagerduty(tmp_path, pagerduty.url)) as alertmanager:
        quiet, loud = {"pool": "chat-70b"}, {"pool": "another"}
        sent = [
            alert("SLOExclusionActive", "info", **quiet),
            *(alert("LLMQueueDepthHigh", "page", **pool) for pool in (quiet, loud)),
            alert("LLMQueueGrowing", "ticket", **quiet),
            alert("PlimsollExporterDown", "page", instance="a:9800"),
        ]
        httpx.post(f"{alertmanager.url}/api/v2/alerts", json=sent).raise_for_status()
        wait_for(lambda: len(pagerduty.events) == 2, "two pages")
        muted = [one["labels"] for one in alertmanager.alerts() if one["status"]["inhibitedBy"]]
    assert sorted((one["alertname"], one["pool"]) for one in muted) == [
        ("LLMQueueDepthHigh", "chat-70b"),
        ("LLMQueueGrowing", "chat-70b"),
    ]
    assert {event["payload"]["class"] for event in pagerduty.events} == {"LLMQueueDepthHigh", "PlimsollExporterDown"}
    assert not any("chat-70b" in event["payload"]["summary"] for event in pagerduty.events)


def test_an_announced_rollout_mutes_its_usual_tickets_and_nothing_that_users_feel(tmp_path: Path) -> None:
    rolling, other = {"pool": "chat-70b"}, {"pool": "another"}
    usual = ("LLMReplicaDown", "LLMReplicaServingWhileCold", "LLMReplicaSlow", "LLMPrefixCacheHitRatioDropped")
    capacity = ("LLMPoolNearCapacity", "LLMPoolOvercommitted", "LLMWarmSpareMissing")
    loud = ("SLOOutage", "SLOErrorBudgetBurn", "LLMPoolDown", "LLMReplicaStalled", "LLMReplicasBelowMinimum")
    tickets = ("LLMRolloutWorse", "LLMReplicaCrashLooping", "SLOErrorBudgetBurn")
    of_others = [
        alert(name, "ticket", instance="b:9800", replica="r9", **other) for name in (*usual, *capacity, *tickets)
    ]
    sent = [
        alert("LLMRolloutAnnounced", "info", **rolling),
        *(alert(name, "ticket", instance="a:9800", replica=name, **rolling) for name in (*usual, *capacity)),
        *(alert(name, "page", instance="a:9800", replica=name, objective=name, **rolling) for name in loud),
        *(alert(name, "ticket", instance="a:9800", replica=name, objective=f"{name}-2", **rolling) for name in tickets),
    ]
    with PagerDuty() as pagerduty, Alertmanager(to_pagerduty(tmp_path, pagerduty.url)) as alertmanager:
        httpx.post(f"{alertmanager.url}/api/v2/alerts", json=[*sent, *of_others]).raise_for_status()
        wait_for(lambda: pagerduty.events, "the page")
        muted = [one["labels"] for one in alertmanager.alerts() if one["status"]["inhibitedBy"]]
        by_rollout = {one["alertname"] for one in muted if one["pool"] == "chat-70b"}
    assert by_rollout == {*usual, *capacity}
    # A replica that is down explains that it is slow, with or without a rollout.
    assert [one["alertname"] for one in muted if one["pool"] == "another"] == ["LLMReplicaSlow"]

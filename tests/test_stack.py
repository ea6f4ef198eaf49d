"""The harness itself: the real binaries start and answer, and the PagerDuty server refuses what the real one refuses."""

from typing import Any

import httpx
import pytest

from pagerduty import PagerDuty
from stack import Alertmanager, Prometheus, require, scrape, wait_for

QUIET = "route: {receiver: none}\nreceivers: [{name: none}]\n"


def event(**changes: Any) -> dict[str, Any]:
    payload = {"summary": "Queue is long", "source": "plimsoll", "severity": "critical"} | changes.pop("payload", {})
    return {"routing_key": "k" * 32, "event_action": "trigger", "dedup_key": "a", "payload": payload} | changes


@pytest.mark.prometheus
def test_prometheus_scrapes_answers_queries_and_keeps_its_data_over_a_restart() -> None:
    with Prometheus() as watched, Prometheus(scrape("self", f"127.0.0.1:{watched.port}", node="a")) as prometheus:
        wait_for(lambda: prometheus.query('up{job="self", node="a"} == 1'), "the first scrape")
        assert prometheus.targets()[0]["health"] == "up"
        sample = prometheus.query('up{job="self"}')[0]
        assert (sample.labels["node"], sample.value) == ("a", 1.0)
        assert prometheus.series('up{job="self"}') == [sample.labels]
        now = prometheus.query("time()")[0].value
        prometheus.stop()
        prometheus.start()
        before = prometheus.query_range('up{job="self"}', now - 1, now, 1)
        assert before[0].points[-1][1] == 1.0
        assert (prometheus.alerts(), prometheus.rule_groups()) == ([], [])


@pytest.mark.prometheus
def test_alertmanager_holds_an_alert_that_is_posted() -> None:
    with Alertmanager(QUIET) as alertmanager:
        httpx.post(f"{alertmanager.url}/api/v2/alerts", json=[{"labels": {"alertname": "A"}}]).raise_for_status()
        alerts = wait_for(alertmanager.alerts, "the alert")
        assert alerts[0]["labels"] == {"alertname": "A"}
        assert alerts[0]["receivers"] == [{"name": "none"}]


@pytest.mark.prometheus
def test_a_server_that_cannot_start_fails_with_its_own_words() -> None:
    with pytest.raises(pytest.fail.Exception, match="no routes provided"), Alertmanager("receivers: []\n"):
        pass


def test_an_absent_binary_skips_and_names_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.skip.Exception, match=r"amtool is not installed.*package prometheus-alertmanager"):
        require("amtool")


def test_pagerduty_accepts_and_keeps_a_trigger_and_its_resolve() -> None:
    resolve = {"routing_key": "k" * 32, "event_action": "resolve", "dedup_key": "a"}
    with PagerDuty() as pagerduty:
        for one in (event(links=[{"href": "http://127.0.0.1/", "text": "Panel"}]), resolve):
            answer = httpx.post(pagerduty.url, json=one)
            assert (answer.status_code, answer.json()["dedup_key"]) == (202, "a")
    assert [one["event_action"] for one in pagerduty.events] == ["trigger", "resolve"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"routing_key": "short"}, "routing_key"),
        ({"event_action": "fire"}, "event_action"),
        ({"event_action": "resolve", "dedup_key": None}, "dedup_key"),
        ({"dedup_key": "d" * 256}, "dedup_key"),
        ({"payload": {"summary": "s" * 1025}}, "summary"),
        ({"payload": {"summary": " "}}, "summary"),
        ({"payload": {"source": ""}}, "source"),
        ({"payload": {"severity": "page"}}, "severity"),
        ({"links": [{"text": "nowhere"}]}, "href"),
    ],
)
def test_pagerduty_refuses_a_wrong_event(bad: dict[str, Any], said: str) -> None:
    with PagerDuty() as pagerduty:
        answer = httpx.post(pagerduty.url, json=event(**bad))
    assert answer.status_code == 400
    assert any(said in error for error in answer.json()["errors"])
    assert pagerduty.events == []
    assert len(pagerduty.rejected) == 1

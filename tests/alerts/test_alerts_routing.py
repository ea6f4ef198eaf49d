"""Alertmanager's configuration, evaluated by amtool and by a real Alertmanager that pages a local PagerDuty server."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from msgspec import structs

from alertmanager_world import alert, config, to_pagerduty
from http_server import serving_text
from page import Page
from pagerduty import PagerDuty
from paths import OBJECTIVES
from plimsoll.alerts.build import render
from plimsoll.alerts.notify.receivers import Receivers
from plimsoll.slo import links
from plimsoll.slo.metrics.recorded import USER_HARM
from plimsoll.slo.spec.objectives import load
from stack import Alertmanager, Prometheus, scrape, tool, versions, wait_for

SPEC = load(OBJECTIVES.read_text())
MODEL = SPEC.pools[0].model

pytestmark = pytest.mark.prometheus


def waiting(*requests: int) -> str:
    """A page of replicas with that many waiting requests."""
    labels = f'model="{MODEL}",engine="vllm",rank="0"'
    return "# TYPE llm_requests_waiting gauge\n" + "".join(
        f'llm_requests_waiting{{replica="r{index}",{labels}}} {number}\n' for index, number in enumerate(requests)
    )


@pytest.mark.parametrize(
    "receivers",
    [
        Receivers(),
        Receivers(tickets=("http://127.0.0.1:1/t",), watchdog_url="http://127.0.0.1:1/w"),
        Receivers(pages=("pagerduty", "slack"), tickets=("slack", "opsgenie")),
        Receivers(pages=("http://127.0.0.1:1/p",), webhook_token=True),
    ],
    ids=["pagerduty", "webhooks for the rest", "slack", "webhook with a token"],
)
def test_amtool_accepts_the_configuration(receivers: Receivers, tmp_path: Path) -> None:
    spec = structs.replace(SPEC, pools=(structs.replace(SPEC.pools[0], owner="chat-team"),))
    (tmp_path / "alertmanager.yml").write_text(render(spec, receivers=receivers)["alertmanager.yml"])
    for amtool in versions("amtool"):
        command = [amtool, "check-config", str(tmp_path / "alertmanager.yml")]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_a_pool_with_an_owner_pages_the_owners_own_service(tmp_path: Path) -> None:
    owned = structs.replace(SPEC.pools[0], owner="chat-team")
    text = render(structs.replace(SPEC, pools=(owned,)), receivers=Receivers(secrets_dir="/s"))["alertmanager.yml"]
    keys = {one["name"]: one for one in yaml.safe_load(text)["receivers"]}
    assert keys["page"]["pagerduty_configs"][0]["routing_key_file"] == "/s/pagerduty-routing-key"
    assert keys["page-chat-team"]["pagerduty_configs"][0]["routing_key_file"] == "/s/pagerduty-routing-key-chat-team"
    file = tmp_path / "alertmanager.yml"
    file.write_text(text)
    for pool, receiver in ((owned.name, "page-chat-team"), ("another", "page")):
        labels = ("alertname=SLOErrorBudgetBurn", "severity=page", f"pool={pool}")
        arguments = ("config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receiver}", *labels)
        answer = tool("amtool", *arguments)
        assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize(
    ("receiver", "labels"),
    [
        ("page", ("alertname=SLOErrorBudgetBurn", "severity=page", "pool=chat-70b")),
        ("page", ("alertname=GPULost", "severity=page")),
        ("ticket", ("alertname=LLMKVCacheUsageHigh", "severity=ticket", "pool=chat-70b")),
        ("ticket", ("alertname=PlimsollIngestLagHigh", "severity=ticket")),
        ("ticket", ("alertname=SomebodyElses", "severity=critical")),
        ("watchdog", ("alertname=Watchdog", "severity=info")),
        ("null", ("alertname=Any", "severity=info", "pool=chat-70b")),
    ],
)
def test_each_severity_goes_where_it_belongs(receiver: str, labels: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "alertmanager.yml").write_text(render(SPEC)["alertmanager.yml"])
    file = f"--config.file={tmp_path / 'alertmanager.yml'}"
    answer = tool("amtool", "config", "routes", "test", file, f"--verify.receivers={receiver}", *labels)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_no_secret_is_written_into_the_configuration(tmp_path: Path) -> None:
    text = to_pagerduty(tmp_path, links.SERVICE_URL)
    assert "routing_key_file" in text
    assert "k" * 32 not in text


def test_a_long_queue_pages_once_with_links_and_resolves_under_the_same_key(tmp_path: Path) -> None:
    rules = tmp_path / "health.rules.yml"
    rules.write_text(render(SPEC)["health.rules.yml"].replace("interval: 15s", "interval: 1s"))
    page = Page()
    page.text = waiting(0, 0)
    with (
        PagerDuty() as pagerduty,
        page.served() as address,
        Alertmanager(to_pagerduty(tmp_path, pagerduty.url)) as alertmanager,
        Prometheus(scrape("plimsoll", address), rules=[rules], alertmanager=alertmanager.url) as prometheus,
    ):
        wait_for(lambda: prometheus.query(f'llm_requests_waiting{{model="{MODEL}"}}'), "the first scrape")
        page.text = waiting(60, 0) + f'{USER_HARM}{{pool="chat-70b"}} 3\n'
        wait_for(lambda: pagerduty.events, "the page")
        trigger = pagerduty.events[0]
        page.text = waiting(0, 0)
        wait_for(lambda: len(pagerduty.events) > 1, "the all-clear", 115)
        assert [event["event_action"] for event in pagerduty.events] == ["trigger", "resolve"]
        assert {event["dedup_key"] for event in pagerduty.events} == {trigger["dedup_key"]}
        assert pagerduty.rejected == []
        rules_of_it = [
            rule for group in prometheus.rule_groups() for rule in group["rules"] if rule["name"] == "LLMQueueDepthHigh"
        ]
        assert {rule["health"] for rule in rules_of_it} == {"ok"}
    payload = trigger["payload"]
    assert payload["summary"] == "chat-70b: Too many requests are waiting; users get slow answers."
    assert (payload["severity"], payload["class"], payload["component"]) == (
        "critical",
        "LLMQueueDepthHigh",
        "chat-70b",
    )
    assert "limit 20; pool size 2-8 nodes" in payload["custom_details"]["firing"]
    assert [link["href"] for link in trigger["links"]] == [
        links.runbook_url("LLMQueueDepthHigh", pool="chat-70b", model=MODEL),
        links.panel_url(links.QUEUE, pool="chat-70b"),
        links.pool_page("chat-70b"),
    ]


def test_slack_gets_the_same_texts_and_links_and_a_webhook_every_label(tmp_path: Path) -> None:
    sent: dict[str, Any] = {}
    fires = alert("LLMQueueDepthHigh", "page", pool="chat-70b")
    fires["annotations"]["runbook_url"] = links.runbook_url("LLMQueueDepthHigh")
    for way in ("slack", "webhook"):
        with serving_text(lambda path, body: sent.update({path: json.loads(body)}) or "ok") as address:
            (tmp_path / "slack-url").write_text(f"http://{address}/slack")
            (tmp_path / "webhook-token").write_text("t" * 32)
            pages = "slack" if way == "slack" else f"http://{address}/webhook"
            receivers = Receivers(pages=(pages,), secrets_dir=str(tmp_path), webhook_token=True)
            with Alertmanager(config(receivers)) as alertmanager:
                httpx.post(f"{alertmanager.url}/api/v2/alerts", json=[fires]).raise_for_status()
                wait_for(lambda: f"/{way}" in sent, f"the message to the {way}")  # noqa: B023 - waited for within the loop
    [message] = sent["/slack"]["attachments"]
    assert message["title"] == "chat-70b: summary of LLMQueueDepthHigh page"
    assert message["actions"][0]["url"] == links.runbook_url("LLMQueueDepthHigh")
    [received] = sent["/webhook"]["alerts"]
    assert received["labels"] == fires["labels"]
    assert received["annotations"] == fires["annotations"]


def test_one_cause_is_one_page_that_shows_the_user_impact(tmp_path: Path) -> None:
    pool, replica = {"pool": "chat-70b"}, {"pool": "chat-70b", "instance": "a:9800", "replica": "r1"}
    tiers = {"page-fast": "page", "page-slow": "page", "ticket-fast": "ticket", "ticket-slow": "ticket"}
    burns = [
        alert("SLOErrorBudgetBurn", severity, objective="o", tier=tier, **pool) for tier, severity in tiers.items()
    ]
    others = [alert("LLMKVCacheUsageHigh", severity, **replica | {"replica": "r2"}) for severity in ("page", "ticket")]
    down = [alert("LLMReplicaDown", "page", **replica), alert("LLMReplicaStalled", "page", rank="0", **replica)]
    with PagerDuty() as pagerduty, Alertmanager(to_pagerduty(tmp_path, pagerduty.url)) as alertmanager:
        sent = [*burns, *others, *down, alert("PlimsollIngestLagHigh", "ticket")]
        httpx.post(f"{alertmanager.url}/api/v2/alerts", json=sent).raise_for_status()
        wait_for(lambda: pagerduty.events, "the page")
        active = wait_for(
            lambda: [one["labels"] for one in alertmanager.alerts() if one["status"]["state"] == "active"], "alerts"
        )
    shown = sorted((one["alertname"], one.get("tier", one["severity"])) for one in active)
    assert shown == [
        ("LLMKVCacheUsageHigh", "page"),
        ("LLMReplicaDown", "page"),
        ("PlimsollIngestLagHigh", "ticket"),
        ("SLOErrorBudgetBurn", "page-fast"),
    ]
    assert [event["payload"]["summary"] for event in pagerduty.events] == [
        "chat-70b: summary of SLOErrorBudgetBurn page-fast (3 alerts)"
    ]


def test_an_exporter_outage_inhibits_what_it_makes_unknown(tmp_path: Path) -> None:
    with PagerDuty() as pagerduty, Alertmanager(to_pagerduty(tmp_path, pagerduty.url)) as alertmanager:
        sent = [alert("PlimsollAllExportersDown", "page"), alert("LLMReplicasBelowMinimum", "page", pool="chat-70b")]
        httpx.post(f"{alertmanager.url}/api/v2/alerts", json=sent).raise_for_status()
        wait_for(lambda: pagerduty.events, "the page")
        hidden = wait_for(
            lambda: [one["labels"] for one in alertmanager.alerts() if one["status"]["inhibitedBy"]], "inhibition"
        )
    assert [one["alertname"] for one in hidden] == ["LLMReplicasBelowMinimum"]
    assert [event["payload"]["class"] for event in pagerduty.events] == ["PlimsollAllExportersDown"]


def test_a_severity_goes_to_all_of_its_receivers(tmp_path: Path) -> None:
    fires = alert("LLMPoolDown", "page", impact="outage", pool="chat-70b")
    sent: list[str] = []

    def noted(path: str, _body: bytes) -> str:
        sent.append(path)
        return "ok"

    (tmp_path / "pagerduty-routing-key").write_text("k" * 32)
    with PagerDuty() as pagerduty, serving_text(noted) as address:
        ways = ("pagerduty", f"http://{address}/one", f"http://{address}/two")
        receivers = Receivers(pages=ways, secrets_dir=str(tmp_path), pagerduty_url=pagerduty.url)
        with Alertmanager(config(receivers)) as alertmanager:
            httpx.post(f"{alertmanager.url}/api/v2/alerts", json=[fires]).raise_for_status()
            wait_for(lambda: len(pagerduty.events) == 1 and {"/one", "/two"} <= {*sent}, "three notifications")


def test_every_service_is_accepted_by_an_alertmanager_that_has_it(tmp_path: Path) -> None:
    """Teams and incident.io are newer than Debian's Alertmanager: the newest one at hand decides."""
    receivers = Receivers(
        pages=("pagerduty", "opsgenie", "slack", "email:oncall@example.org"),
        tickets=("msteams", "incidentio"),
        smtp_relay="mail.example.org:587",
        email_from="plimsoll@example.org",
    )
    document = yaml.safe_load(render(SPEC, receivers=receivers)["alertmanager.yml"])
    older = document | {
        "receivers": [one for one in document["receivers"] if one["name"] != "ticket"] + [{"name": "ticket"}]
    }
    for amtool, accepted in zip(versions("amtool"), (older, document), strict=False):
        (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(accepted))
        command = [amtool, "check-config", str(tmp_path / "alertmanager.yml")]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_fragment_extends_an_alertmanager_with_routes_of_its_own(tmp_path: Path) -> None:
    part = yaml.safe_load(render(SPEC)["alertmanager-fragment.yml"])
    theirs = {"receiver": "theirs", "routes": [{"receiver": "theirs", "matchers": ['team="x"']}]}
    whole = {
        "route": theirs | {"routes": [*part["routes"], *theirs["routes"]]},
        "receivers": [*part["receivers"], {"name": "theirs"}],
        "inhibit_rules": part["inhibit_rules"],
    }
    file = tmp_path / "alertmanager.yml"
    file.write_text(yaml.safe_dump(whole))
    for receiver, labels in (
        ("plimsoll-page", ("source=plimsoll", "severity=page", "pool=chat-70b", "alertname=SLOOutage")),
        ("plimsoll-ticket", ("source=plimsoll", "severity=ticket", "alertname=LLMReplicaDown")),
        ("theirs", ("severity=page", "alertname=TheirAlert")),
    ):
        answer = tool(
            "amtool", "config", "routes", "test", f"--config.file={file}", f"--verify.receivers={receiver}", *labels
        )
        assert answer.returncode == 0, answer.stdout + answer.stderr


def test_build_names_what_has_no_receiver() -> None:
    assert [line.split(":")[0] for line in Receivers().lost()] == [
        "no receiver for tickets",
        "no receiver for the watchdog",
    ]
    assert Receivers(tickets=("slack",), watchdog_url="http://w").lost() == []

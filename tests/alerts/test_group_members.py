"""A replica of two pods on two nodes, by promtool: it counts as down with any member, whatever the leader's page answers."""

from pathlib import Path
from typing import Any

import pytest

from health_cases import MODEL, POOL
from paths import ROOT
from plimsoll.alerts.build import render
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import load
from promtool import Batch, case, fires, is_absent, is_value, only, run_batches, series, silent

pytestmark = pytest.mark.prometheus
HEALTH = render(load((ROOT / "slo" / "objectives.yaml").read_text()))["health.rules.yml"]
BELOW = "LLMReplicasBelowMinimum"
RULES = only(HEALTH, {"LLMReplicaDown", BELOW, recorded.LAST_INFO, recorded.MEMBERS_MISSING, recorded.MEMBER_LOST})
A, B = {"instance": "a:9800"}, {"instance": "b:9800"}
GROUP = {"namespace": "llm", "group": "big-0"}
LEADER = {**GROUP, "member": "0", "pod": "big-0", "node": "a"}
WORKER = {**GROUP, "member": "1", "pod": "big-0-1", "node": "b"}
WELL, ENDS = "1x60", "1x10 stale"


def given(metric: Any, values: str, *labels: dict[str, str]) -> dict[str, str]:
    return {
        "series": series(str(metric), {name: value for one in labels for name, value in one.items()}),
        "values": values,
    }


def world(worker: str = WELL, exporter: str = WELL, gpu: str = WELL) -> list[dict[str, str]]:
    """The group, and a replica of one pod beside it: the pool's minimum of two. What is lost is lost after ten minutes."""
    replicas = [
        one
        for replica in ("big-0.llm", "small.llm")
        for own in ({**A, "replica": replica},)
        for one in (
            given(c.REPLICA_UP, WELL, own),
            given(c.REPLICA_INFO, WELL, own, {"model": MODEL, "engine": "vllm"}),
        )
    ]
    return [
        *replicas,
        given(c.REPLICA_POD, WELL, A, {"replica": "big-0.llm", "pod": "big-0"}, GROUP),
        given(c.REPLICA_POD, WELL, A, {"replica": "small.llm", "pod": "small", "namespace": "llm"}),
        given(c.MEMBER_UP, WELL, A, LEADER),
        given(c.GROUP_SIZE, "2x60", A, GROUP),
        given(c.MEMBER_UP, worker, B, WORKER),
        given(c.GROUP_SIZE, exporter.replace("1x", "2x"), B, GROUP),
        given(c.GPU_UP, gpu, B, {"uuid": "GPU-9"}),
        given(c.GPU_POD, exporter, B, {"uuid": "GPU-9", "namespace": "llm", "pod": "big-0-1", "container": "vllm"}),
    ]


MISSING = f"sum({recorded.MEMBERS_MISSING})"
LOST = {
    "not_ready": world(worker="1x10 0x50"),
    "not_reported": world(worker=ENDS, exporter=ENDS, gpu=ENDS),
    "gpu": world(gpu="1x10 0x50"),
}


def test_a_group_that_is_whole_is_up_and_one_without_a_member_is_down(tmp_path: Path) -> None:
    alerts = {"alertname": "LLMReplicaDown", "replica": "big-0.llm", "pool": POOL}
    whole = case("whole", world(), is_value(MISSING, 50, 0), silent(50, **alerts), silent(50, alertname=BELOW))
    lost = [
        case(
            why,
            series_,
            is_value(MISSING, 9, 0),
            is_value(MISSING, 14, 1),
            is_value(f'count({recorded.MEMBER_LOST}{{reason="{why}",pod="big-0-1",node="b"}})', 14, 1),
            is_value(f"count({recorded.MEMBER_LOST})", 14, 1),
            fires(30, **alerts),
            fires(30, alertname=BELOW, pool=POOL),
        )
        for why, series_ in LOST.items()
    ]
    run_batches(tmp_path, [Batch(RULES, [whole, *lost])])


def test_an_exporter_that_restarts_within_two_minutes_takes_no_member_down(tmp_path: Path) -> None:
    gap = "1x10 stale _x0 1x48"
    short = world(worker=gap, exporter=gap, gpu=gap)
    run_batches(tmp_path, [Batch(RULES, [case("restart", short, is_value(MISSING, 11, 0), is_value(MISSING, 30, 0))])])


def test_a_group_of_unknown_size_is_neither_whole_nor_down(tmp_path: Path) -> None:
    unknown = [one for one in world(worker="1x10 0x50") if not one["series"].startswith(c.GROUP_SIZE.name)]
    run_batches(tmp_path, [Batch(RULES, [case("unknown", unknown, is_absent(MISSING, 30))])])


def test_the_alert_names_the_member(tmp_path: Path) -> None:
    labels = {
        "severity": "ticket",
        "reason": "member_lost",
        "pool": POOL,
        "source": "plimsoll",
        **A,
        "replica": "big-0.llm",
        **GROUP,
    }
    one = case("text", LOST["not_ready"])
    one["alert_rule_test"] = [
        {
            "eval_time": "30m",
            "alertname": "LLMReplicaDown",
            "exp_alerts": [{"exp_labels": labels, "exp_annotations": annotations()}],
        }
    ]
    run_batches(tmp_path, [Batch(RULES, [one])])


def annotations() -> dict[str, str]:
    about = "pool=chat-70b&model=meta-llama%2FLlama-3.3-70B-Instruct&replica=big-0.llm&instance=a%3A9800"
    return {
        "summary": "big-0.llm lacks a member of its group.",
        "description": (
            "big-0.llm needs all pods of big-0, and 1 have been lost for 270s. Lost: big-0-1 on b (not_ready). It counts as down, "
            "even if its endpoint responds. Check the pod's node, then recreate the group."
        ),
        "runbook_url": f"http://127.0.0.1:8080/runbooks/LLMReplicaDown?{about}",
        "dashboard_url": "http://127.0.0.1:3000/d/plimsoll-oncall?viewPanel=2095772478&var-pool=chat-70b&var-replica=big-0.llm",
        "slo_url": "http://127.0.0.1:8080/pools/chat-70b",
    }

"""Where an engine found in a pod runs, and which role it has: by the pod's object alone, on its series and while it is down."""

import time
from typing import Any

import pytest

from page import Page
from paths import FIXTURES
from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.engines.roles import of_labels
from plimsoll.exporters.kubernetes.identity import PodIdentity, identity_of
from plimsoll.slo import metrics as c

LWS = "leaderworkerset.sigs.k8s.io"
CHAT = PodIdentity("llm", "chat-7d9f-x", "engine", "gpu-1", "chat", "Deployment")


def owned(kind: str, name: str, **labels: str) -> dict[str, Any]:
    """A pod with an owner, as the API lists it, without what isn't read."""
    owners = [{"kind": "Node", "name": "n"}, {"kind": kind, "name": name, "controller": True}]
    about = {"name": "p", "namespace": "llm", "labels": labels, "ownerReferences": owners}
    containers = [
        {"name": "proxy", "ports": [{"containerPort": 8000}]},
        {"name": "vllm", "ports": [{"containerPort": 8200}]},
    ]
    return {"metadata": about, "spec": {"nodeName": "gpu-1", "containers": containers}}


@pytest.mark.parametrize(
    ("pod", "workload"),
    [
        (owned("ReplicaSet", "chat-7d9f", **{"pod-template-hash": "7d9f"}), ("Deployment", "chat")),
        (owned("ReplicaSet", "chat-55", **{"rollouts-pod-template-hash": "55"}), ("Rollout", "chat")),
        (owned("ReplicaSet", "chat"), ("ReplicaSet", "chat")),
        (owned("StatefulSet", "chat"), ("StatefulSet", "chat")),
        (owned("StatefulSet", "big-0", **{f"{LWS}/name": "big"}), ("LeaderWorkerSet", "big")),
    ],
)
def test_the_workload_is_what_an_operator_scales(pod: dict[str, Any], workload: tuple[str, str]) -> None:
    found = identity_of(pod, 8200)
    assert (found.workload_kind, found.workload) == workload
    assert (found.namespace, found.pod, found.container, found.node) == ("llm", "p", "vllm", "gpu-1")


@pytest.mark.parametrize(
    ("labels", "role"),
    [
        ({"llm-d.ai/role": "prefill"}, "prefill"),
        ({"llm-d.ai/role": "prefill-decode"}, ""),
        ({"nvidia.com/dynamo-component-type": "decode"}, "decode"),
        (
            {"nvidia.com/dynamo-component-type": "worker", "nvidia.com/dynamo-sub-component-type": "prefill"},
            "prefill",
        ),
        ({"rolebasedgroup.workloads.x-k8s.io/role": "decode"}, "decode"),
        ({"disaggregatedset.x-k8s.io/role": "prefill"}, "prefill"),
        ({"app.kubernetes.io/component": "llminferenceservice-workload-leader-prefill"}, "prefill"),
        ({"app.kubernetes.io/component": "llminferenceservice-workload"}, ""),
        ({"app.kubernetes.io/component": "serving-engine", "model": "decode"}, "decode"),
        ({"model": "decode"}, ""),
    ],
)
def test_the_role_is_what_the_stack_calls_it(labels: dict[str, str], role: str) -> None:
    assert of_labels(labels) == role


def labels_of(points: list[Point], metric: c.Metric) -> dict[str, str]:
    (found,) = [point.labels for point in points if point.metric is metric]
    return dict(found)


def test_every_series_of_a_replica_has_what_pools_match_by_and_one_has_its_pod() -> None:
    page = Page()
    page.text = (FIXTURES / "vllm-0.32.0-load.prom").read_text()
    with page.served() as address:
        engine = EngineCollector(f"chat=http://{address}#decode", pod=CHAT)
        first, second = (list(engine.collect(time.monotonic() + 5)) for _ in range(2))
    pod = {"replica": "chat", "namespace": "llm", "pod": "chat-7d9f-x", "container": "engine", "node": "gpu-1"}
    pod |= {"workload": "chat", "workload_kind": "Deployment", "group": ""}
    assert all((one.labels["namespace"], one.labels["workload"]) == ("llm", "chat") for one in first)
    assert labels_of(first, c.REPLICA_POD) == pod and labels_of(first, c.REPLICA_INFO)["role"] == "decode"
    assert engine.server.labels == {"namespace": "llm", "workload": "chat"}
    mean = {id(one.labels) for one in first if one.metric is c.ITL}  # as formatting needs it, the same objects again
    assert mean and {id(one.labels) for one in second if one.metric is c.ITL} == mean
    with pytest.raises(CollectorError):
        engine.collect(time.monotonic() + 1)  # the server is gone
    down = list(engine.fallback)
    assert labels_of(down, c.REPLICA_POD) == pod
    assert labels_of(down, c.REPLICA_UP) == {"replica": "chat", "namespace": "llm", "workload": "chat"}

"""Pods and containers that serve, by recorded answers of the Kubernetes and Docker APIs over HTTP."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from http_server import Quiet, listening
from plimsoll.exporters.collector import CollectorError
from plimsoll.exporters.discovery import DiscoveryError, Target
from plimsoll.exporters.discovery import api as json_api
from plimsoll.exporters.discovery.docker import DockerDiscovery
from plimsoll.exporters.discovery.kubernetes import KubernetesDiscovery
from plimsoll.slo import metrics

NODE = {"NODE_NAME": "gpu-1"}


@contextmanager
def api(body: bytes, status: int = 200) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """An API that gives one answer; yields its address, and the (path, authorization) of each request."""
    asked: list[tuple[str, str | None]] = []

    class Handler(Quiet):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with listening(Handler) as address:
        yield f"http://{address}", asked


def pod(name: str, labels: dict[str, str], ports: list[int], gpu: bool = True, **more: Any) -> dict[str, Any]:
    """A pod as the API lists it, without what isn't read."""
    limits = {"nvidia.com/gpu": "1"} if gpu else {}
    container = {"name": "main", "ports": [{"containerPort": one} for one in ports], "resources": {"limits": limits}}
    about = {"name": name, "namespace": "llm", "labels": labels, **more}
    return {"metadata": about, "spec": {"containers": [container]}, "status": {"podIP": "10.1.0.7", "phase": "Running"}}


LEADER, WORKER = {"leaderworkerset.sigs.k8s.io/worker-index": "0"}, {"leaderworkerset.sigs.k8s.io/worker-index": "1"}
LWS = {"leaderworkerset.sigs.k8s.io/name": "big"}
PODS = [
    (pod("decode", {"llm-d.ai/inference-serving": "true"}, [8000, 8200]), 8200),
    (pod("isvc", {"serving.kserve.io/inferenceservice": "a"}, [8080]), 8080),
    (pod("stack", {"app.kubernetes.io/component": "serving-engine"}, []), 8000),
    (pod("dynamo", {"nvidia.com/metrics-enabled": "true"}, [8000, 9090]), 9090),
    (pod("leader", LWS | LEADER, [30000]), 30000),
    (pod("worker", LWS | WORKER, [30000]), None),
    (pod("plain", {}, [5000, 30000]), 30000),
    (pod("web", {}, [8000], gpu=False), None),
    (pod("router", {"app.kubernetes.io/component": "router"}, [8000], gpu=False), None),
    (pod("leaving", {"llm-d.ai/model": "m"}, [8000], deletionTimestamp="2026-11-30T00:00:00Z"), None),
    (pod("told", {"llm-d.ai/model": "m"}, [8000], annotations={"prometheus.io/port": "8123"}), 8123),
]


def account(folder: Path) -> Path:
    (folder / "token").write_text("secret\n")
    return folder


def test_pods_of_the_node_are_found_by_label_or_by_gpu_and_port(tmp_path: Path) -> None:
    answer = {"kind": "PodList", "items": [one for one, _ in PODS]}
    with api(json.dumps(answer).encode()) as (root, asked):
        found = KubernetesDiscovery(NODE, account(tmp_path), root).find()
    assert {one.name: one.url for one in found} == {
        f"{one['metadata']['name']}.llm": f"http://10.1.0.7:{port}" for one, port in PODS if port
    }
    assert not any(one.certain or one.lingers for one in found)  # on the page once recognized, off it once deleted
    ((path, authorization),) = asked  # one request, for this node's running pods alone
    assert parse_qs(urlsplit(path).query) == {"fieldSelector": ["spec.nodeName=gpu-1,status.phase=Running"]}
    assert authorization == "Bearer secret"


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        (b"{}", 403, "HTTP 403. Allow this account to list pods"),
        (b"{}", 200, "not a list of pods"),
        (b"<html>", 200, "Check that it is reachable"),
        (b'{"items":[{}]}', 200, "not a list of pods"),
    ],
)
def test_an_answer_that_is_none_is_an_error_in_one_line(body: bytes, status: int, why: str, tmp_path: Path) -> None:
    with api(body, status) as (root, _), pytest.raises(DiscoveryError) as raised:
        KubernetesDiscovery(NODE, account(tmp_path), root).find()
    message = str(raised.value)
    assert message.startswith(root) and why in message and "\n" not in message and "secret" not in message


def test_outside_a_pod_it_states_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match="NODE_NAME isn't set"):
        KubernetesDiscovery({}, tmp_path).find()
    with pytest.raises(DiscoveryError, match="automountServiceAccountToken"):
        KubernetesDiscovery(NODE | {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path).find()


def member(number: str, ready: str, **more: Any) -> dict[str, Any]:
    """A pod of a group of two."""
    labels = {
        f"leaderworkerset.sigs.k8s.io/{part}": one for part, one in (("group-index", "3"), ("worker-index", number))
    }
    found = pod(f"big-3-{number}", LWS | labels, [8000], annotations={"leaderworkerset.sigs.k8s.io/size": "2"}, **more)
    found["status"]["conditions"] = [{"type": "Ready", "status": ready}]
    return found


def test_members_of_a_group_are_reported_and_hold_while_the_list_cannot_be_read(tmp_path: Path) -> None:
    pods = [member("0", "True"), member("1", "False"), pod("alone", LWS, [8000])]
    with api(json.dumps({"items": pods}).encode()) as (root, _):
        discovery = KubernetesDiscovery(NODE, account(tmp_path), root)
        (leader, _alone) = discovery.find()
        points = list(discovery.groups.collect(0.0))
    assert leader.pod is not None and leader.pod.group == "big-3"
    up = {one.labels["member"]: one.value for one in points if one.metric is metrics.MEMBER_UP}
    assert up == {"0": 1, "1": 0}
    assert [(dict(one.labels), one.value) for one in points if one.metric is metrics.GROUP_SIZE] == [
        ({"namespace": "llm", "group": "big-3"}, 2)
    ]
    with pytest.raises(DiscoveryError):  # the API is gone
        discovery.find()
    with pytest.raises(CollectorError, match="Check that it is reachable"):
        discovery.groups.collect(0.0)
    assert list(discovery.groups.fallback) == points


def container(name: str, image: str, command: str, ports: list[dict[str, Any]], address: str) -> dict[str, Any]:
    """A container as the API lists it, without what isn't read."""
    networks = {"bridge": {"IPAddress": address}}
    about = {"Names": [f"/{name}"], "Image": image, "Command": command, "Ports": ports}
    return {**about, "NetworkSettings": {"Networks": networks}}


def test_containers_are_found_by_image_or_command_at_their_published_port_or_their_own_address() -> None:
    published = [
        {"PrivatePort": 8000, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 8000, "PublicPort": 18000, "Type": "tcp"},
    ]
    containers = [
        container("chat", "vllm/vllm-openai:v0.32.0", "vllm serve --model m", published, "172.17.0.2"),
        container("sg", "registry/own:1", "python3 -m sglang.launch_server --port 31000", [], "172.17.0.3"),
        container("host", "lmsysorg/sglang:latest", "bash", [], ""),
        container("db", "postgres:16", "postgres", [{"PrivatePort": 5432, "Type": "tcp"}], "172.17.0.4"),
    ]
    with api(json.dumps(containers).encode()) as (root, asked):
        found = DockerDiscovery(root).find()
    assert found == [
        Target("http://127.0.0.1:18000", "chat", certain=False, lingers=True),
        Target("http://172.17.0.3:31000", "sg", certain=False, lingers=True),
        Target("http://127.0.0.1:30000", "host", certain=False, lingers=True),
    ]
    assert [path for path, _ in asked] == ["/containers/json"]


def test_a_missing_socket_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match="No such file"):
        DockerDiscovery(f"unix://{tmp_path}/docker.sock").find()


def test_an_api_that_drips_or_sends_too_much_is_an_error_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_api, "SECONDS", 0.3)
    monkeypatch.setattr(json_api, "LIMIT_BYTES", 1000)
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n")
            while not over.wait(0.05):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        accepting = Thread(target=lambda: drip(listening.accept()[0]))
        accepting.start()
        root = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(DiscoveryError, match="no whole answer"):
            DockerDiscovery(root).find()
        over.set()
        accepting.join()
    with api(b" " * 1001) as (root, _), pytest.raises(DiscoveryError, match="larger than"):
        DockerDiscovery(root).find()

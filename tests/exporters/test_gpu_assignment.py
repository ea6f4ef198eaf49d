"""Which engine runs on which GPU: real processes that listen and fork, and /proc of machines that this one is not."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from export_process import Exporter, exporting
from fakenvml import FakeNvml
from gpu_engine import engine
from paths import ROOT
from plimsoll.alerts.build import render
from plimsoll.exporters.collector import Point
from plimsoll.exporters.gpu_assignment import GpuAssignment, GpuProcess, MigInstance, Server, shares_of
from plimsoll.exporters.kubernetes.pods import Pods
from plimsoll.exporters.process_tree import ProcessTree
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import load
from promtool import Batch, only, run_batches
from stack import wait_for

MODEL = "meta-llama/Llama-3.3-70B-Instruct"
GB, KV = 10**9, 1_073_741_824  # KV: what the page of the fixture says


def rows(exporter: Exporter, metric: c.Metric) -> dict[tuple[str, ...], float]:
    """Values of a metric by GPU and the other labels' values."""
    families = text_string_to_metric_families(exporter.get().raise_for_status().text)
    return {
        tuple(sample.labels[name] for name in metric.labels if name in sample.labels): sample.value
        for family in families
        for sample in family.samples
        if sample.name == metric.name
    }


@pytest.mark.skipif(not ProcessTree()._trusted, reason="this PID namespace is not the machine's own")
def test_a_tensor_parallel_group_a_neighbour_and_a_stranger_are_told_apart(tmp_path: Path) -> None:
    fake = FakeNvml(tmp_path, 4)
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with engine(2) as (first, (left, right)), engine(1) as (second, (alone,)), stranger:
        fake.run(0, (left, 60 * GB))
        fake.run(1, (right, 60 * GB), (stranger.pid, 5 * GB))
        fake.run(2, (alone, 40 * GB), (2**31 - 1, 3 * GB))  # no such process: hidden from us
        engines = ("--engine", f"one={first}", "--engine", f"two={second}")
        with exporting(tmp_path, *engines, env=fake.env) as exporter:
            exporter.get()  # from the pages, models and reserved memory become known
            gpus = [fake.uuid(index) for index in range(4)]
            assignment = {(gpus[0], "one", MODEL): 1, (gpus[1], "one", MODEL): 1, (gpus[2], "two", MODEL): 1}
            assert rows(exporter, c.GPU_ASSIGNMENT) == assignment
            assert list(rows(exporter, c.GPU_PROCESSES_UNASSIGNED).values()) == [0, 1, 1, 0]
            held = rows(exporter, c.GPU_MEMORY_USAGE)
            assert {key[1:]: value for key, value in held.items() if key[0] == gpus[1]} == {
                ("driver",): 602_931_200,
                ("kv_cache", "one"): KV,
                ("weights", "one"): 60 * GB - KV,
                ("other",): 5 * GB,
                ("unattributed",): 5 * GB,
            }
            for gpu in gpus:  # every byte in use is somebody's
                assert sum(value for key, value in held.items() if key[0] == gpu) == 70 * GB + 602_931_200

            # A lost GPU is still the trouble of whoever runs there; a worker that is gone is not.
            fake.lose(0)
            fake.run(2)
            del assignment[gpus[2], "two", MODEL]
            wait_for(lambda: rows(exporter, c.GPU_ASSIGNMENT) == assignment, "the join to follow")
        stranger.communicate(b"\n")


class Node:
    """A /proc folder, written as the kernel would."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder = folder
        self.process(1, 0, "net:[1]")
        (folder / "self").symlink_to(folder / "1")
        (folder / "1" / "ns" / "pid").symlink_to(namespace)

    def process(self, pid: int, parent: int, net: str, ip: str = "127.0.0.1", *files: str, port: int = 0) -> None:
        home = self.folder / str(pid)
        for name in ("ns", "net", "fd"):
            (home / name).mkdir(parents=True)
        (home / "ns" / "net").symlink_to(net)
        (home / "stat").write_text(f"{pid} (a) b) S {parent} " + "0 " * 17 + "777 0\n")
        (home / "net" / "fib_trie").write_text(f"Local:\n  |-- {ip}\n     /32 host LOCAL\n")
        listening = f"  0: 00000000:{port:04X} 00000000:0000 0A 0:0 0:0 0 0 0 {pid}9 1\n" if port else ""
        (home / "net" / "tcp").write_text("  sl  local_address ...\n" + listening)
        for number, file in enumerate((*files, *([f"socket:[{pid}9]"] if port else []))):
            (home / "fd" / str(number)).symlink_to(file)


class Fixed:
    """An engine of which all is known."""

    def __init__(self, replica: str, host: str, port: int, kv: float | None = None) -> None:
        self.server = Server(replica, "m", host, port, kv)


class OnePod(Pods):
    """Has every GPU."""

    def points(self, info: Any, *_: Any) -> list[Point]:
        return [Point(c.GPU_POD, {"uuid": info["uuid"], "namespace": "llm", "pod": "chat-0", "container": "vllm"}, 1)]


INFO = {"uuid": "GPU-1", "pci_bus_id": "00000000:01:00.0"}
HOST, CONTAINER = "pid:[4026531836]", "pid:[4026532999]"


def replicas(node: Node, pid: int, *engines: Fixed) -> list[str]:
    points = GpuAssignment(engines, ProcessTree(node.folder)).gpu(INFO, [GpuProcess(pid, None)], [])
    return [point.labels["replica"] for point in points if point.metric is c.GPU_ASSIGNMENT]


def test_pods_that_listen_on_the_same_port_are_told_apart_by_their_addresses(tmp_path: Path) -> None:
    node = Node(tmp_path, HOST)
    for pid, ip in ((20, "10.0.0.2"), (30, "10.0.0.3")):
        node.process(pid, 1, f"net:[{pid}]", ip, port=8000)
        node.process(pid + 1, pid, f"net:[{pid}]", ip)
    engines = Fixed("a", "10.0.0.2", 8000), Fixed("b", "10.0.0.3", 8000), Fixed("c", "127.0.0.1", 8000)
    assert (replicas(node, 21, *engines), replicas(node, 31, *engines)) == (["a"], ["b"])
    assert replicas(node, 21, engines[2]) == []


def test_a_number_of_the_host_means_nothing_in_a_container_unless_that_process_uses_a_gpu(tmp_path: Path) -> None:
    node = Node(tmp_path, CONTAINER)
    node.process(20, 1, "net:[1]", port=8000)
    node.process(21, 20, "net:[1]")
    node.process(22, 20, "net:[1]", "127.0.0.1", "/dev/null", "/dev/nvidia3")
    engine = Fixed("a", "127.0.0.1", 8000)
    assert (replicas(node, 21, engine), replicas(node, 22, engine)) == ([], ["a"])


def test_a_replica_has_the_pod_of_its_gpus_unless_a_discovery_found_it_in_one(tmp_path: Path) -> None:
    node = Node(tmp_path, HOST)
    node.process(20, 1, "net:[1]", port=8000)
    for labels, pods in (({}, [("llm", "chat-0")]), ({"namespace": "llm", "workload": "chat"}, [])):
        engine = Fixed("a", "127.0.0.1", 8000)
        engine.server = engine.server._replace(labels=labels)
        assignment = GpuAssignment([engine], ProcessTree(node.folder), OnePod())
        points = assignment.gpu(INFO, [GpuProcess(20, None)], [])
        assert [dict(one.labels) for one in points if one.metric is c.GPU_ASSIGNMENT] == [
            {"uuid": "GPU-1", "replica": "a", "model": "m", **labels}
        ]
        assert [(one.labels["namespace"], one.labels["pod"]) for one in assignment.replica_pods()] == pods


def test_one_server_under_two_names_belongs_to_neither(tmp_path: Path) -> None:
    node = Node(tmp_path, HOST)
    node.process(20, 1, "net:[1]", port=8000)
    assert replicas(node, 20, Fixed("a", "127.0.0.1", 8000)) == ["a"]
    assert replicas(node, 20, Fixed("a", "127.0.0.1", 8000), Fixed("b", "127.0.0.1", 8000)) == []
    assert replicas(node, 20, Fixed("a", "127.0.0.1", 8001)) == []


def held(node: Node, kv: float | None, *tenants: GpuProcess, used: float = 90.0) -> dict[str, float]:
    join = GpuAssignment([Fixed("a", "127.0.0.1", 8000, kv)], ProcessTree(node.folder))
    own = [Point(c.GPU_MEMORY_USED, INFO, used), Point(c.GPU_MEMORY_RESERVED, INFO, 5.0)]
    points = join.gpu(INFO, tenants, own)
    return {point.labels["component"]: point.value for point in points if point.metric is c.GPU_MEMORY_USAGE}


def test_memory_is_split_as_far_as_it_is_told_and_never_guessed(tmp_path: Path) -> None:
    node = Node(tmp_path, HOST)
    node.process(20, 1, "net:[1]", port=8000)
    node.process(21, 20, "net:[1]")
    worker, second, other = GpuProcess(20, 60.0), GpuProcess(21, 10.0), GpuProcess(99, 20.0)
    rest = {"driver": 5, "other": 20, "unattributed": 10}
    assert held(node, 40, worker, other) == {**rest, "kv_cache": 40, "weights": 20}
    assert held(node, None, worker, other) == {**rest, "engine": 60}
    assert held(node, 61, worker, other) == {**rest, "engine": 60}  # what cannot be is not believed
    assert held(node, 40, worker, second, other) == {
        **rest,
        "engine": 70,
        "unattributed": 0,
    }  # whose part is the cache?
    assert held(node, 40, worker, GpuProcess(99, None)) == {"driver": 5}
    assert held(node, 40, worker, other, used=70) == {"driver": 5, "other": 20, "kv_cache": 40, "weights": 20}


def documented(heading: str) -> str:
    """The query under a heading of docs/explanation/gpu-attribution.md."""
    text = (ROOT / "docs" / "explanation" / "gpu-attribution.md").read_text()
    (query,) = re.findall(rf"^### {heading}$.*?^```promql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[:1]
    return str(query)


@pytest.mark.prometheus
def test_the_documented_queries_give_the_ratios_that_they_promise(tmp_path: Path) -> None:
    """Replica r alone on a (300 W), chat and embed share b (400 W), c (500 W) is shared and can't be split, d is of nobody."""
    shares = (("a", "r", "m", 1.0), ("b", "chat", "chat", 0.75), ("b", "embed", "embed", 0.25))
    unknown = (("c", "x", "unsplit"), ("c", "r2", "other"))
    own = 'instance="n",uuid="{}",replica="{}",model="{}"'
    watts = {"a": 300, "b": 400, "c": 500, "d": 600}
    series = {
        **{
            f'gpu_energy_joules_total{{instance="n",uuid="{gpu}"}}': f"0+{power * 60}x20"
            for gpu, power in watts.items()
        },
        **{f"gpu_assignment_info{{{own.format(*one[:3])}}}": "1x20" for one in (*shares, *unknown)},
        **{f"gpu_assignment_share_ratio{{{own.format(*one[:3])}}}": f"{one[3]}x20" for one in shares},
        **{
            f'llm_generation_tokens_total{{instance="n",replica="r",model="{model}",rank="0"}}': "0+6000x20"
            for model in ("m", "chat", "embed", "unsplit", "other")
        },
        'gpu_memory_usage_bytes{instance="n",uuid="a",replica="r",component="kv_cache"}': "40x20",
        'llm_kv_cache_usage_ratio{instance="n",replica="r",model="m",engine="vllm",rank="0"}': "0.25x20",
    }
    energy = {"m": 3.0, "chat": 3.0, "embed": 1.0}
    unsplit = [{"labels": f'{recorded.UNSPLIT_GPUS}{{model="{model}"}}', "value": 1} for model in ("unsplit", "other")]
    expected = {
        documented("Energy per token"): [
            {"labels": f'{{model="{name}"}}', "value": value} for name, value in energy.items()
        ],
        documented("KV cache in use"): [
            {"labels": '{component="kv_cache", instance="n", replica="r", uuid="a"}', "value": 10}
        ],
        recorded.UNSPLIT_GPUS: unsplit,
    }
    tests = [{"expr": expr, "eval_time": "20m", "exp_samples": samples} for expr, samples in expected.items()]
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    rules = render(load((ROOT / "slo" / "objectives.yaml").read_text()))["fleet.rules.yml"]
    group = {"interval": "1m", "input_series": inputs, "promql_expr_test": tests}
    run_batches(tmp_path, [Batch(only(rules, {recorded.UNSPLIT_GPUS, recorded.MODEL_POWER}), [group], "30s")])


def test_it_is_said_why_nothing_can_be_joined(tmp_path: Path) -> None:
    for place, namespace in (("node", HOST), ("container", CONTAINER), ("unprivileged", HOST)):
        (tmp_path / place).mkdir()
        Node(tmp_path / place, namespace)
    # Root in a container without further capabilities; with SYS_PTRACE.
    for place, capabilities in (
        ("unprivileged", "00000000a80425fb"),
        ("node", "00000000a80c25fb"),
        ("container", "1ff"),
    ):
        (tmp_path / place / "1" / "status").write_text(f"Name:\tplimsoll\nCapEff:\t{capabilities}\n")
    assert ProcessTree(tmp_path / "node").unreadable_because() == ""
    assert "hostPID" in ProcessTree(tmp_path / "container").unreadable_because()
    assert "SYS_PTRACE" in ProcessTree(tmp_path / "unprivileged").unreadable_because()


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed")
@pytest.mark.skipif(not ProcessTree()._trusted or os.getuid() != 0, reason="not root on the machine itself")
@pytest.mark.parametrize("take", [["--bounding-set", "-sys_ptrace"], ["--reuid", "65534", "--clear-groups"]])
def test_what_this_machine_really_allows_agrees_with_what_is_said(take: list[str]) -> None:
    said = (
        "from plimsoll.exporters.process_tree import ProcessTree as T; print('SYS_PTRACE' in T().unreadable_because())"
    )
    if subprocess.run(["setpriv", *take, sys.executable, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("this Python lies where other users can't run it")
    command = ["setpriv", *take, sys.executable, "-c", said]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"
    assert ProcessTree().unreadable_because() == ""


def test_the_replicas_parts_of_a_gpu_follow_mig_or_the_sm_time_and_are_never_guessed() -> None:
    mig: dict[int | None, MigInstance] = {1: MigInstance("MIG-a", 3 / 7), 2: MigInstance("MIG-b", 1 / 7)}
    alone = [("a", GpuProcess(1, None))]
    assert shares_of(alone, {}) == {"a": 1.0}
    assert shares_of([*alone, ("a", GpuProcess(2, None))], {}) == {"a": 1.0}
    shared = [("a", GpuProcess(1, None, None, 60.0)), ("b", GpuProcess(2, None, None, 20.0))]
    assert shares_of(shared, {}) == {"a": 0.75, "b": 0.25}
    assert shares_of([*shared, (None, GpuProcess(3, None, None, 20.0))], {}) == {"a": 0.6, "b": 0.2}
    # A process whose time isn't reported, or none that did anything: unknown.
    assert shares_of([*shared, (None, GpuProcess(3, None))], {}) == {}
    assert shares_of([("a", GpuProcess(1, None)), (None, GpuProcess(2, None))], {}) == {}
    assert shares_of([("a", GpuProcess(1, None, None, 0.0)), ("b", GpuProcess(2, None, None, 0.0))], {}) == {}
    instances = [("a", GpuProcess(1, None, 1)), ("b", GpuProcess(2, None, 2))]
    assert shares_of(instances, mig) == {"a": 3 / 7, "b": 1 / 7}
    # Two replicas in one instance: its part can't be split.
    assert shares_of([*instances, ("c", GpuProcess(3, None, 2))], mig) == {"a": 3 / 7}


@pytest.mark.skipif(not ProcessTree()._trusted, reason="this PID namespace is not the machine's own")
def test_each_mig_instance_names_its_replica(tmp_path: Path) -> None:
    fake = FakeNvml(tmp_path, 1)
    with engine(1) as (first, (one,)), engine(1) as (second, (two,)):
        fake.slice(0, 0, "MIG-a", "NVIDIA H100 80GB HBM3 MIG 3g.40gb", 1, (42 * GB, 30 * GB))
        fake.slice(0, 1, "MIG-b", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9, (10 * GB, 2 * GB))
        fake.run(0, (one, 2**64 - 1, 1), (two, 2**64 - 1, 9))
        engines = ("--engine", f"one={first}", "--engine", f"two={second}", "--kernel-log", "none")
        with exporting(tmp_path, *engines, env=fake.env) as exporter:
            exporter.get()
            gpu = fake.uuid(0)
            assert rows(exporter, c.GPU_MIG_ASSIGNMENT) == {
                (gpu, "MIG-a", "one", MODEL): 1,
                (gpu, "MIG-b", "two", MODEL): 1,
            }
            shares = rows(exporter, c.GPU_ASSIGNMENT_SHARE)
    assert shares == {(gpu, "one", MODEL): pytest.approx(3 / 7), (gpu, "two", MODEL): pytest.approx(1 / 7)}

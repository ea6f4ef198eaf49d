"""Public incidents of GPU nodes, replayed on the fake driver through exporter, Prometheus and Alertmanager.

Each raises exactly the page or ticket that it deserves, which names node, GPU, replica, pod and the other GPUs of the group.
Time runs SPEED times as fast for rules and routing. Only alerts on GPUs and on collectors are loaded: the engine's page is static.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import time_compression as compression
from fakenvml import FakeNvml
from gpu_engine import engine
from http_server import serving_text
from kernel_log import FakeKernelLog
from kubelet import FakeKubelet, container, pod
from pagerduty import PagerDuty
from paths import ROOT
from plimsoll.alerts.build import render
from plimsoll.alerts.notify.receivers import Receivers
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.exposition import Renderer
from plimsoll.exporters.gpu_assignment import GpuAssignment
from plimsoll.exporters.kubernetes.pods import Pods
from plimsoll.exporters.nvml.collector import GpuCollector
from plimsoll.exporters.nvml.inventory import Inventory
from plimsoll.exporters.nvml.state import GpuState
from plimsoll.exporters.process_tree import ProcessTree
from plimsoll.exporters.runner import Runner
from plimsoll.slo.metrics.recorded import LAST_INFO
from plimsoll.slo.spec.objectives import load
from stack import Alertmanager, Prometheus, scrape, wait_for

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not ProcessTree()._trusted, reason="this PID namespace is not the machine's own"),
]
SPEED = 15.0
GB = 10**9
LATER = (
    700 / SPEED
)  # real seconds after which every ticket that is due has been sent, with its ten minutes and its group's wait


@dataclass
class World:
    """A node of four GPUs: a replica on GPUs 0 and 1, its pod, and what arrived at PagerDuty and in the tickets."""

    fake: FakeNvml
    log: FakeKernelLog
    inventory: Path
    pagerduty: PagerDuty
    prometheus: Prometheus | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)

    @property
    def pages(self) -> list[dict[str, Any]]:
        return [event for event in self.pagerduty.events if event["event_action"] == "trigger"]

    def keys(self) -> set[str]:
        """The incidents that PagerDuty opened."""
        return {event["dedup_key"] for event in self.pages}

    def tickets(self) -> set[str]:
        """Names of the alerts that tickets were written for."""
        return {alert["labels"]["alertname"] for message in self.messages for alert in message["alerts"]}

    def text(self) -> str:
        """The text of all pages."""
        return json.dumps(self.pages)

    def ticket(self) -> str:
        """The text of all tickets."""
        return json.dumps(self.messages)

    def list_gpu(self, index: int) -> None:
        """Let the kernel list a GPU as the driver's."""
        place = self.inventory / self.fake.state.devices[index].bus_id.decode().lower()[4:]
        place.mkdir(parents=True)
        (place / "information").write_text(f"Model: \t H100\nGPU UUID: \t {self.fake.uuid(index)}\n")


def rules(folder: Path) -> Path:
    """The committed alerts on GPUs and collectors, in compressed time. XIDs have real times."""
    text = render(load((ROOT / "slo" / "objectives.yaml").read_text()))["health.rules.yml"]
    document = yaml.safe_load(text)
    for group in document["groups"]:
        wanted = ("GPU", "NVSwitch", "PlimsollCollector", LAST_INFO)
        group["rules"] = [rule for rule in group["rules"] if (rule.get("alert") or rule["record"]).startswith(wanted)]
    document["groups"] = [group for group in document["groups"] if group["rules"]]
    short = compression.rules(document, SPEED, 0.0)
    path = folder / "health.rules.yml"
    path.write_text(yaml.safe_dump(short, width=10_000).replace(f"(0.000 + {SPEED:g} * (time() - 0.000))", "time()"))
    return path


def routes(folder: Path, pagerduty: str, tickets: str) -> str:
    """The committed routing, in compressed time."""
    (folder / "pagerduty-routing-key").write_text("k" * 32)
    receivers = Receivers(secrets_dir=str(folder), pagerduty_url=pagerduty, tickets=(tickets,))
    spec = load((ROOT / "slo" / "objectives.yaml").read_text())
    document = yaml.safe_load(render(spec, receivers=receivers)["alertmanager.yml"])
    return yaml.safe_dump(compression.routes(document, SPEED), width=10_000)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    fake = FakeNvml(tmp_path, 4)
    for name, value in fake.variables.items():
        monkeypatch.setenv(name, value)
    made = World(fake, FakeKernelLog(tmp_path), tmp_path / "gpus", PagerDuty())
    with ExitStack() as stack:
        url, (left, right) = stack.enter_context(engine(2))
        fake.run(0, (left, 60 * GB))
        fake.run(1, (right, 60 * GB))
        kubelet = FakeKubelet(tmp_path / "kubelet.sock")
        stack.callback(kubelet.close)
        kubelet.pods = [pod("serving", "vllm-0", container("engine", "nvidia.com/gpu", fake.uuid(0), fake.uuid(1)))]
        pods = Pods(tmp_path / "kubelet.sock")
        pods.ask()
        for index in range(4):
            made.list_gpu(index)
        state = GpuState()
        made.log.follow(state)
        served_engine = EngineCollector(f"r1={url}", None)
        gpus = GpuCollector(
            state, Inventory(made.inventory, tmp_path), assignment=GpuAssignment([served_engine], pods=pods)
        )
        stack.callback(gpus.close)
        runner, renderer = Runner([served_engine, gpus]), Renderer()

        def page(_path: str, _body: bytes) -> str:
            return renderer.render(runner.collect(time.monotonic() + 8), "").body.decode()

        exporter = stack.enter_context(serving_text(page))
        stack.enter_context(made.pagerduty)

        def ticket(_path: str, body: bytes) -> str:
            made.messages.append(json.loads(body))
            return ""

        tickets = stack.enter_context(serving_text(ticket))
        routing = routes(tmp_path, made.pagerduty.url, f"http://{tickets}/")
        alertmanager = stack.enter_context(Alertmanager(routing))
        made.prometheus = stack.enter_context(
            Prometheus(scrape("plimsoll", exporter), rules=[rules(tmp_path)], alertmanager=alertmanager.url)
        )
        wait_for(lambda: made.prometheus and len(made.prometheus.query("gpu_assignment_info")) == 2, "the join")
        wait_for(
            lambda: made.prometheus and made.prometheus.query(LAST_INFO), "the identity of the replica to be recorded"
        )
        yield made
        for index in range(8):
            fake.restore(index)


def settle(world: World, due: Callable[[], bool]) -> None:
    """Wait for what is due, and then for the rest of the time in which anything else would have been sent."""
    end = time.monotonic() + LATER
    wait_for(due, "the alert that is due", 120)
    wait_for(lambda: time.monotonic() > end, "everything else", 120)


def names_all(world: World, text: str, index: int, other: int) -> None:
    """Check that a text names GPU, replica, pod, and the other GPU of the group."""
    assert world.fake.uuid(index) in text
    assert "Replica: r1" in text
    assert "serving/vllm-0/engine" in text
    assert f"Other GPUs of its group: {world.fake.uuid(other)}" in text
    assert "127.0.0.1:" in text, "the node"


def test_a_gpu_off_the_bus_that_only_the_kernel_reports_is_one_page(world: World) -> None:
    """XID 79 and 119 never reach NVML's events (NVIDIA/DCGM issue 235); the GPU still answers for a while."""
    world.log.xid("0000:01:00", 79)
    settle(world, lambda: bool(world.pages))
    assert len(world.keys()) == 1
    names_all(world, world.text(), 0, 1)
    assert "XID 79" in world.text()
    assert world.tickets() == set()


def test_a_gpu_that_is_lost_is_one_page_with_its_xid(world: World) -> None:
    world.log.xid("0000:11:00", 79)
    world.fake.lose(1)
    settle(world, lambda: "GPULost" in world.text())
    assert len(world.keys()) == 1, "one page for one cause"
    names_all(world, world.text(), 1, 0)
    assert world.tickets() == set()


def test_a_fabric_without_resources_is_one_page(world: World) -> None:
    """State completed, status insufficient resources (Azure/azhpc-images issue 506)."""
    world.fake.set(0, fabric_status=24)
    settle(world, lambda: bool(world.pages))
    assert len(world.keys()) == 1
    assert "GPUFabricNotReady" in world.text()
    names_all(world, world.text(), 0, 1)
    assert world.tickets() == set()


def test_a_degraded_fabric_is_one_ticket(world: World) -> None:
    """Degraded bandwidth in the health mask (NVIDIA/nccl issue 2186)."""
    world.fake.set(0, fabric_mask=1)
    settle(world, lambda: bool(world.messages))
    assert world.tickets() == {"GPUFabricDegraded"}
    names_all(world, world.ticket(), 0, 1)
    assert world.pages == []


def test_a_driver_replaced_under_the_exporter_is_one_ticket_and_no_page(world: World) -> None:
    """An unattended upgrade: this container keeps the old library."""
    world.fake.state.generation = 2
    world.fake.restart_driver("590.48.01")
    settle(world, lambda: bool(world.messages))
    assert world.pages == []
    assert world.tickets() == {"GPUNotReadable"}
    assert "can't ask 4 GPUs" in world.ticket()
    assert "driver_mismatch" in world.ticket()


def test_a_gpu_added_and_one_that_answers_again_raise_nothing(world: World) -> None:
    world.fake.set(4, present=1, uuid="GPU-hot", bus_id="00000000:41:00.0", name="NVIDIA H100 80GB HBM3")
    world.list_gpu(4)
    prometheus = world.prometheus
    assert prometheus is not None
    settle(world, lambda: len(prometheus.query("gpu_up == 1")) == 5)
    assert world.pages == []
    assert world.tickets() == set()

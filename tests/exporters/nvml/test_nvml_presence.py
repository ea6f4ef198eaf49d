"""Three states of a GPU: it responds, it doesn't, or it can't be asked; and what ends the wait for it."""

import threading
import time
from contextlib import closing
from pathlib import Path

import pynvml
import pytest

from fakenvml import FakeNvml
from gpu_node import Node, fake, node
from plimsoll.exporters.nvml.requests import Requests
from plimsoll.slo import metrics as c
from stack import wait_for

__all__ = ["fake", "node"]


def listed(folder: Path, fake: FakeNvml, *indices: int) -> None:
    """Let the kernel list these GPUs as the driver's."""
    for index in indices:
        bus = fake.state.devices[index].bus_id.decode().lower()[4:]
        (folder / bus).mkdir(parents=True)
        text = f"Model: \t\t NVIDIA H100 80GB HBM3\nGPU UUID: \t {fake.uuid(index)}\nDevice Minor: \t {index}\n"
        (folder / bus / "information").write_text(text)


def bound(bus: Path, fake: FakeNvml, index: int, driver: str) -> None:
    """Put a GPU on the PCI bus with a driver."""
    place = bus / fake.state.devices[index].bus_id.decode().lower()[4:]
    place.mkdir(parents=True, exist_ok=True)
    (bus / driver).mkdir(exist_ok=True)
    (place / "driver").unlink(missing_ok=True)
    (place / "driver").symlink_to(bus / driver)


def test_a_gpu_without_permission_is_not_lost(fake: FakeNvml, node: Node) -> None:
    fake.lose(3, pynvml.NVML_ERROR_OPERATING_SYSTEM)  # blocked by a cgroup
    fake.lose(4)
    node.scrape()
    assert node.up() == [1, 1, 1, 0, 1, 1, 1]  # GPU 4
    assert node.reasons() == {fake.uuid(3): "no_permission"}


def test_a_library_of_another_version_than_the_driver_says_nothing_about_gpus_after_a_restart(
    tmp_path: Path, fake: FakeNvml
) -> None:
    with closing(Node(tmp_path)) as before:
        before.scrape(60)
        assert before.up() == [1] * 8
    fake.state.generation = 2  # the library is the old one, and so would be that of any new process here
    with closing(Node(tmp_path)) as after:
        for _ in range(4):
            after.scrape(60)
        assert after.up() == []
        assert set(after.reasons().values()) == {"driver_mismatch"}
        assert after.success() == 0
        # It never read a GPU: restarting it again would cure nothing.
        assert after.collector.trouble == ""


@pytest.mark.parametrize("lost", ["mismatch", "devices"])
def test_what_only_a_restart_of_the_container_cures_makes_the_exporter_unhealthy(
    fake: FakeNvml, node: Node, lost: str
) -> None:
    assert node.collector.trouble == ""
    if lost == "mismatch":
        fake.state.generation = 2
    else:
        fake.state.init_code = pynvml.NVML_ERROR_UNKNOWN
    fake.restart_driver("590.48.01")

    def unhealthy() -> bool:
        node.scrape()
        return node.collector.trouble != ""

    wait_for(unhealthy, "the exporter to ask for a restart")
    assert node.up() == []
    fake.state.init_code, fake.state.generation = 0, 1
    node.wait_until_all_up()
    assert node.collector.trouble == ""


def test_a_gpu_bound_later_is_read_and_never_called_lost(tmp_path: Path, fake: FakeNvml) -> None:
    fake.remove(7)
    listed(tmp_path / "gpus", fake, *range(7))
    with closing(Node(inventory=tmp_path / "gpus")) as node:
        node.scrape(60)
        assert node.up() == [1] * 7
        listed(tmp_path / "gpus", fake, 7)
        fake.set(7, present=1)
        node.scrape(60)
        assert node.up() == [1] * 8
        assert node.family(c.NVML_RESTARTS) == {"devices_changed": 1}
        node.scrape(60)
        assert node.family(c.NVML_RESTARTS) == {"devices_changed": 1}


def test_a_gpu_that_the_driver_lists_and_the_library_does_not_is_lost(tmp_path: Path, fake: FakeNvml) -> None:
    fake.remove(7)
    listed(tmp_path / "gpus", fake, *range(8))
    with closing(Node(inventory=tmp_path / "gpus")) as node:
        for _ in range(2):
            node.scrape(60)
        assert node.family(c.GPU_UP)[fake.uuid(7)] == 0
        assert sum(node.up()) == 7
        assert node.family(c.NVML_RESTARTS) == {}


def test_a_gpu_given_to_a_virtual_machine_is_not_lost_and_one_that_left_the_bus_is(
    tmp_path: Path, fake: FakeNvml
) -> None:
    bus = tmp_path / "bus"
    for index in range(8):
        bound(bus, fake, index, "nvidia")
    with closing(Node(bus=bus)) as node:
        node.scrape(60)
        bound(bus, fake, 6, "vfio-pci")
        for index in (6, 7):
            fake.remove(index)
        fake.restart_driver("580.82.07")
        node.scrape(60)
        assert node.reasons() == {fake.uuid(6): "not_bound"}
        assert node.family(c.GPU_UP)[fake.uuid(7)] == 0


def test_a_gpu_that_was_taken_away_is_forgotten_on_request(
    tmp_path: Path, fake: FakeNvml, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Node(tmp_path)) as node:
        node.scrape(60)
        fake.remove(1)
        fake.restart_driver("580.82.07")
        node.scrape(60)
        assert node.up() == [1, 0, 1, 1, 1, 1, 1, 1]
        assert f"plimsoll gpus forget {fake.uuid(1)}" in caplog.text
        Requests(tmp_path).forget(fake.uuid(1))
        node.scrape(60)
        assert node.up() == [1] * 7
        assert fake.uuid(1) not in node.family(c.GPU_INFO)
    with closing(Node(tmp_path)) as after:
        after.scrape(60)
        assert after.up() == [1] * 7


def test_a_node_that_shows_no_gpu_says_so(fake: FakeNvml, caplog: pytest.LogCaptureFixture) -> None:
    for index in range(8):
        fake.remove(index)
    with closing(Node()) as node:
        for _ in range(2):
            node.scrape(60)
        assert node.success() == 0
        assert node.up() == []
    assert sum("lists no GPU" in record.getMessage() for record in caplog.records) == 1


def test_a_pause_lets_go_of_the_devices_and_ends_by_itself(tmp_path: Path, fake: FakeNvml) -> None:
    with closing(Node(tmp_path)) as node:
        node.scrape(60)
        child = node.collector._reader._child
        assert child is not None
        requests = Requests(tmp_path)
        requests.pause(time.time() + 3600)
        assert not requests.released()
        node.scrape(60)
        assert requests.released()
        assert child._process.poll() is not None, "the process that holds the devices is gone"
        assert node.up() == []
        assert set(node.reasons().values()) == {"paused"}
        assert node.success() == 1
        inits = fake.state.inits
        node.scrape(60)
        assert fake.state.inits == inits
        requests.pause(time.time() - 1)
        node.scrape(60)
        assert node.up() == [1] * 8
        assert not requests.released()


def test_a_request_while_a_scrape_waits_is_not_lost(tmp_path: Path) -> None:
    requests = Requests(tmp_path)
    threads = [threading.Thread(target=requests.forget, args=(f"GPU-{number}",)) for number in range(20)]
    taken: list[str] = []
    for thread in threads:
        thread.start()
        taken += requests.take_forgotten()
    for thread in threads:
        thread.join()
    taken += requests.take_forgotten()
    assert sorted(taken) == sorted(f"GPU-{number}" for number in range(20))

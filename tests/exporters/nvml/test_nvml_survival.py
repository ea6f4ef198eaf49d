"""What a driver can do to the exporter, and that it goes on: hangs, crashes, upgrades, losses."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pynvml
import pytest

from fakenvml import FakeNvml
from gpu_node import Node, fake, node
from plimsoll.exporters.deadline import DeadlineExceeded
from plimsoll.exporters.nvml.supervisor import Child, ChildExited
from plimsoll.slo import metrics as c
from stack import wait_for

__all__ = ["fake", "node"]
pytestmark = pytest.mark.slow
HOUR = 3600.0


def ends(node: Node) -> dict[str, float]:
    return node.family(c.NVML_RESTARTS)


def test_a_gpu_that_hangs_from_the_start_does_not_hide_the_others(fake: FakeNvml) -> None:
    fake.wedge(0)
    with closing(Node()) as node:
        node.scrape_past_a_hang()
        assert node.up() == [1] * 7
        # It is not waited for again: with an hour's patience this would run into the test's timeout.
        node.scrape(time_limit=HOUR)
        assert node.up() == [1] * 7
        fake.restore(0)
        wait_for(lambda: node.all_up() and len(node.up()) == 8, "the eighth GPU")


def inventory(folder: Path, fake: FakeNvml, *indices: int, hidden: int | None = None) -> Path:
    """/proc/driver/nvidia/gpus for these GPUs; the kernel does not know the UUID of the hidden one."""
    for index in indices:
        bus = fake.state.devices[index].bus_id.decode().lower()[4:]
        uuid = "GPU-????????-????-????-????-????????????" if index == hidden else fake.uuid(index)
        place = folder / "gpus" / bus
        place.mkdir(parents=True)
        told = f"Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 120\nGPU UUID: \t {uuid}\nBus Location: \t {bus}\n"
        (place / "information").write_text(told)
    return folder / "gpus"


def test_the_kernel_names_a_gpu_that_never_told_its_uuid(tmp_path: Path, fake: FakeNvml) -> None:
    fake.wedge(3)
    fake.lose(5)
    with closing(Node(inventory=inventory(tmp_path, fake, *range(8), hidden=5))) as node:
        node.scrape_past_a_hang()
        lost = "unknown@0000:51:00.0"
        up = node.family(c.GPU_UP)
        assert {uuid for uuid, value in up.items() if not value} == {fake.uuid(3), lost}
        assert len(up) == 8
        names = {p.labels["uuid"]: p.labels["name"] for p in node.points if p.metric is c.GPU_INFO}
        assert names[fake.uuid(3)] == "NVIDIA H100 80GB HBM3"
        assert node.family(c.GPU_XID_ERRORS, lost) == {}

        # Once it answers, its UUID takes the place of its address.
        fake.restore(5)
        fake.restore(3)
        node.wait_until_all_up()
        assert set(node.family(c.GPU_UP)) == {fake.uuid(index) for index in range(8)}


def test_the_gpus_are_known_while_nvml_itself_does_not_start(tmp_path: Path, fake: FakeNvml) -> None:
    fake.state.init_hangs = 1
    with closing(Node(inventory=inventory(tmp_path, fake, 0, 1))) as node:
        node.scrape(time_limit=0.5)
        assert node.success() == 0
        assert node.family(c.GPU_UP) == {}
        assert node.reasons() == {fake.uuid(0): "not_responding", fake.uuid(1): "not_responding"}
        fake.state.init_hangs = 0
        wait_for(lambda: node.all_up() and len(node.up()) == 8, "all GPUs")


def test_the_age_of_a_gpus_last_answer_grows_while_it_is_lost(fake: FakeNvml, node: Node) -> None:
    young = node.family(c.GPU_RESPONSE_AGE)
    assert all(age < 30 for age in young.values())
    fake.lose(6)
    node.scrape()
    first = node.family(c.GPU_RESPONSE_AGE)
    node.scrape()
    second = node.family(c.GPU_RESPONSE_AGE)
    assert second[fake.uuid(6)] > first[fake.uuid(6)] > young[fake.uuid(6)]
    assert second[fake.uuid(5)] < second[fake.uuid(6)]


def test_a_library_that_crashes_costs_no_scrape(fake: FakeNvml, node: Node, caplog: pytest.LogCaptureFixture) -> None:
    assert ends(node) == {}
    fake.state.crash = 1
    crashed = threading.Thread(target=node.scrape, args=(60,))
    crashed.start()
    wait_for(lambda: node.collector._reader.restarts["SIGSEGV"], "the process to crash")
    fake.state.crash = 0
    crashed.join(60)
    node.wait_until_all_up()
    assert set(ends(node)) == {"SIGSEGV"}
    assert fake.state.inits >= 2


def test_a_library_that_keeps_crashing_is_not_started_at_every_scrape(
    fake: FakeNvml, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    fake.state.crash = 1
    for _ in range(20):
        node.scrape(60)
        assert node.success() == 0
        assert node.up() == []
        assert list(node.reasons().values()) == ["library_crashed"] * 8
    assert 2 <= ends(node)["SIGSEGV"] <= 8
    assert sum("SIGSEGV" in record.getMessage() for record in caplog.records) == 1
    fake.state.crash = 0
    node.wait_until_all_up()


def test_an_upgraded_driver_is_followed_by_loading_its_library(fake: FakeNvml, node: Node) -> None:
    fake.upgrade("590.48.01")
    node.scrape(60)
    assert node.success() == 1
    assert node.up() == [1] * 8
    assert ends(node) == {"LIB_RM_VERSION_MISMATCH": 1}
    versions = {p.labels["driver_version"] for p in node.points if p.metric is c.GPU_INFO}
    assert versions == {"590.48.01"}


def test_a_restarted_driver_is_followed_within_the_same_scrape(fake: FakeNvml, node: Node) -> None:
    fake.restart_driver("590.48.01")
    fake.remove(1)
    node.scrape(60)
    assert fake.state.inits == 2
    assert node.up() == [1, 0, 1, 1, 1, 1, 1, 1]
    versions = {p.labels["uuid"]: p.labels["driver_version"] for p in node.points if p.metric is c.GPU_INFO}
    assert versions[fake.uuid(0)] == "590.48.01"
    assert node.of(fake.uuid(7))["gpu_power_watts"] == 612.345
    assert ends(node) == {"UNINITIALIZED": 1}


def test_another_gpu_in_a_lost_ones_place_ends_the_wait_for_it(fake: FakeNvml, node: Node) -> None:
    old, new = fake.uuid(1), "GPU-11111111-0000-0000-0000-000000000001"
    fake.set(1, uuid=new)
    fake.restart_driver("580.82.07")
    node.scrape(60)
    assert new in node.family(c.GPU_UP)
    assert old not in node.family(c.GPU_UP)
    assert node.up() == [1] * 8


@pytest.mark.parametrize(
    ("code", "reason", "advice"),
    [
        (9, "driver_not_loaded", "driver isn't loaded"),
        (18, "driver_mismatch", "driver versions"),
        (999, "devices_lost", "container"),
        (4, "no_permission", "NO_PERMISSION (4)"),
    ],
)
def test_a_library_that_does_not_start_says_nothing_about_its_gpus_and_is_tried_again(
    fake: FakeNvml, node: Node, code: int, reason: str, advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.state.init_code = code
    fake.restart_driver("590.48.01")
    for _ in range(3):
        node.scrape(60)
        assert node.success() == 0
        assert node.up() == []
        assert node.reasons() == {fake.uuid(index): reason for index in range(8)}
    said = [record.getMessage() for record in caplog.records if record.name == "plimsoll.exporters.runner"]
    assert len(said) == 1
    assert advice in said[0]
    fake.state.init_code = 0
    node.wait_until_all_up()
    assert node.success() == 1


def test_a_container_that_lost_its_gpus_gets_a_fresh_library(fake: FakeNvml, node: Node) -> None:
    for index in range(8):
        fake.lose(index, pynvml.NVML_ERROR_UNKNOWN)
    for _ in range(2):
        node.scrape()
        assert node.up() == []
        assert set(node.reasons().values()) == {"devices_lost"}
        assert ends(node) == {}

    def restarted() -> bool:
        node.scrape()
        return ends(node) == {"UNKNOWN": 1}

    wait_for(restarted, "the process to be replaced")
    assert set(node.reasons().values()) == {"devices_lost"}
    for index in range(8):
        fake.restore(index)
    node.wait_until_all_up()


def test_one_gpu_of_unknown_trouble_is_no_reason_to_start_anew(fake: FakeNvml, node: Node) -> None:
    fake.lose(3, pynvml.NVML_ERROR_UNKNOWN)
    for _ in range(6):
        node.scrape()
    assert node.up() == [1, 1, 1, 0, 1, 1, 1, 1]
    assert ends(node) == {}


def test_a_library_that_hangs_as_a_whole_is_replaced(fake: FakeNvml) -> None:
    fake.state.init_hangs = 1
    with closing(Node(stuck_seconds=0.5)) as node:
        node.scrape(time_limit=0.2)
        assert node.success() == 0
        assert ends(node) == {}

        def replaced() -> bool:
            node.scrape(time_limit=0.2)
            return ends(node) == {"stuck": 1}

        wait_for(replaced, "the stuck process to be given up")
        fake.state.init_hangs = 0
        wait_for(lambda: node.all_up() and len(node.up()) == 8, "all GPUs")


def test_a_gpu_that_hangs_for_long_is_tried_in_another_process_while_the_others_go_on(fake: FakeNvml) -> None:
    with closing(Node(stuck_seconds=5)) as node:
        node.scrape(60)
        fake.wedge(2)
        node.scrape_past_a_hang()
        inits = fake.state.inits

        def tried() -> bool:
            node.scrape()
            assert node.up() == [1, 1, 0, 1, 1, 1, 1, 1]
            return bool(fake.state.inits > inits)

        wait_for(tried, "another process to be tried")
        assert ends(node) == {}


def test_a_process_that_reads_more_takes_the_place_of_the_stuck_one(fake: FakeNvml) -> None:
    with closing(Node(stuck_seconds=1.5)) as node:
        node.scrape(60)
        stuck = node.collector._reader._child
        assert stuck is not None
        fake.set(2, wedged=stuck._process.pid)  # as where the driver lost this process's reply

        def mended() -> bool:
            node.scrape(time_limit=3)
            return node.up() == [1] * 8

        wait_for(mended, "a new process to take over")
        assert ends(node) == {"stuck": 1}


@pytest.fixture
def child(fake: FakeNvml) -> Iterator[Child]:
    xids: list[tuple[str, int, float]] = []
    process = Child(lambda *xid: xids.append(xid))
    yield process
    process.kill()


def test_a_process_that_owes_an_answer_is_not_asked_for_another(fake: FakeNvml, child: Child) -> None:
    fake.state.init_hangs = 1
    now = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        child.ask(now + 0.1, now + 0.2)
    with pytest.raises(DeadlineExceeded):
        child.ask(now + HOUR, now + HOUR)  # at once, or the test's timeout ends it
    assert child.overdue_seconds() > 0


def test_a_process_that_was_killed_says_so_to_whoever_waits(fake: FakeNvml, child: Child) -> None:
    fake.state.init_hangs = 1
    threading.Timer(0.3, child.kill).start()
    with pytest.raises(ChildExited, match="SIGKILL"):
        child.ask(time.monotonic() + HOUR, time.monotonic() + HOUR)


def test_a_process_that_was_killed_in_the_middle_of_a_line_is_mourned_like_any_other(
    fake: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = 'import os, signal, sys; sys.stdin.readline(); os.write(1, b\'{"gpus": [{"ind\'); os.kill(os.getpid(), signal.SIGKILL)'
    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda command, **pipes: real([command[0], "-c", torn], **pipes))
    process = Child(lambda *_: None)
    with pytest.raises(ChildExited, match="SIGKILL"):
        process.ask(time.monotonic() + HOUR, time.monotonic() + HOUR)


def test_the_process_ends_with_the_exporter_even_while_the_driver_hangs(fake: FakeNvml, child: Child) -> None:
    fake.state.init_hangs = 1
    child._stdin.close()  # what the kernel does when the exporter is gone
    wait_for(lambda: child._process.poll() is not None, "the process to end")

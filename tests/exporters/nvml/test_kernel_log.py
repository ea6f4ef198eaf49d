"""XIDs that NVML never reports, from the kernel's log: joined by PCI address, counted once, and also those of a gap."""

import json
import logging
import time
from contextlib import closing
from pathlib import Path

import pytest

from fakenvml import FakeNvml
from gpu_node import Node, fake, node
from kernel_log import FakeKernelLog
from plimsoll.exporters.nvml.state import FILE, GpuState
from plimsoll.exporters.nvml.xids.counts import MATCH_SECONDS
from plimsoll.exporters.nvml.xids.kernel_log import KernelLog
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics.xids import KERNEL_LOG_ONLY
from stack import wait_for

__all__ = ["fake", "node"]
GPU = {"uuid": "GPU-a", "pci_bus_id": "00000000:21:00.0"}


def counts(state: GpuState, metric: c.Metric = c.GPU_XID_ERRORS) -> dict[str, float]:
    """Counts above 0 by the labels' values."""
    return {" ".join(p.labels.values()): p.value for p in state.points() if p.metric is metric and p.value}


@pytest.fixture
def log(tmp_path: Path) -> FakeKernelLog:
    return FakeKernelLog(tmp_path)


@pytest.fixture
def state(tmp_path: Path) -> GpuState:
    (tmp_path / "state").mkdir()
    found = GpuState(tmp_path / "state")
    found.expect([GPU])
    return found


def test_codes_that_only_the_kernel_reports_are_counted_on_their_gpu(
    fake: FakeNvml, node: Node, log: FakeKernelLog
) -> None:
    node.scrape()
    assert not {str(xid) for xid in KERNEL_LOG_ONLY} & set(node.family(c.GPU_XID_ERRORS, fake.uuid(2)))
    log.follow(node.state)
    node.scrape()
    # Only now a 0 states something.
    assert node.family(c.GPU_XID_ERRORS, fake.uuid(2))["119"] == 0
    assert node.family(c.KERNEL_LOG_READABLE) == {"": 1}
    log.xid("0000:21:00", 119)

    def counted() -> bool:
        node.scrape()
        return node.family(c.GPU_XID_ERRORS, fake.uuid(2))["119"] == 1

    wait_for(counted, "the XID of the kernel's log")
    assert node.family(c.GPU_XID_LAST, fake.uuid(2))["119"] == pytest.approx(time.time(), abs=60)
    assert node.family(c.GPU_XID_ERRORS, fake.uuid(1))["119"] == 0


def test_an_error_that_both_sources_report_counts_once_and_a_storm_counts_each(
    log: FakeKernelLog, state: GpuState
) -> None:
    now = time.time()
    reader = log.reader(state)
    for _ in range(40):
        state.xid("GPU-a", 31, now)
    for _ in range(41):
        reader.take(log.line("NVRM: Xid (PCI:0000:21:00): 31, pid=1, MMU Fault", at=now))
    assert counts(state) == {"GPU-a 31": 41}
    # The same code later is another error.
    reader.take(log.line("NVRM: Xid (PCI:0000:21:00): 31, pid=1, MMU Fault", at=now + MATCH_SECONDS * 3))
    assert counts(state) == {"GPU-a 31": 42}


def test_a_gpu_off_the_bus_is_seen_with_and_without_an_xid(log: FakeKernelLog, state: GpuState) -> None:
    reader, now = log.reader(state), time.time()
    reader.take(log.line("NVRM: Xid (PCI:0000:21:00): 79, pid='<unknown>', GPU has fallen off the bus.", at=now))
    reader.take(log.line("NVRM: GPU 0000:21:00.0: GPU has fallen off the bus.", at=now))
    assert counts(state) == {"GPU-a 79": 1}
    reader.take(log.line("NVRM: GPU 0000:21:00.0: GPU has fallen off the bus.", at=now + 3600))
    assert counts(state) == {"GPU-a 79": 2}


def test_a_switch_has_its_own_counts(log: FakeKernelLog, state: GpuState) -> None:
    reader = log.reader(state)
    reader.take(log.line("nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 28006, Non-fatal, Link 46 MC TS crumbstore MCTO"))
    reader.take(log.line("nvidia-nvswitch3: SXid (PCI:0000:c1:00.0): 28006, Data {0x00000001, 0x00000080}"))
    reader.take(log.line("nvidia-nvswitch0: SXid (PCI:0000:c2:00.0): 20034, Fatal, Link 30 LTSSM Fault Up"))
    assert counts(state, c.SXID_ERRORS) == {"0000:c1:00.0 28006 non_fatal": 1, "0000:c2:00.0 20034 fatal": 1}
    assert counts(state) == {}


@pytest.mark.parametrize(
    "line",
    [
        "usb 1-1: new device",
        "NVRM: loading NVIDIA UNIX x86_64 Kernel Module",
        "NVRM: Xid (PCI:0000:21:00): x",
        "Xid (PCI:0000:21:00): 79",
    ],
)
def test_other_lines_are_no_errors(log: FakeKernelLog, state: GpuState, line: str) -> None:
    reader = log.reader(state)
    reader.take(log.line(line))
    reader.take(line)
    reader.take(" SUBSYSTEM=pci")
    assert counts(state) == {}


def test_errors_of_the_gap_between_two_exporters_are_counted_once(
    tmp_path: Path, log: FakeKernelLog, state: GpuState
) -> None:
    log.follow(state)
    log.xid("0000:21:00", 31)
    wait_for(lambda: counts(state) == {"GPU-a 31": 1}, "the first XID")
    state.xid("GPU-a", 48, time.time() + 1)  # by NVML alone, before the log was read
    log.xid("0000:21:00", 48)
    log.xid("0000:21:00", 79, at=time.time() + 60)  # nobody runs
    # The first exporter's thread may still count it: what matters is the file as it was.
    file = tmp_path / "second"
    file.mkdir()
    stored = {"gpus": {"GPU-a": GPU}, "xids": {"GPU-a": {"31": [1, time.time()], "48": [1, time.time() + 1]}}}
    (file / FILE).write_text(json.dumps(stored | {"kernel_log": [log.boot, 1]}))
    after = GpuState(file)
    log.follow(after)
    wait_for(lambda: counts(after).get("GPU-a 79"), "the XID of the gap")
    assert counts(after) == {"GPU-a 31": 1, "GPU-a 48": 1, "GPU-a 79": 1}


def test_the_log_of_another_boot_is_read_from_its_start(tmp_path: Path, log: FakeKernelLog) -> None:
    folder = tmp_path / "before"
    folder.mkdir()
    (folder / FILE).write_text(json.dumps({"gpus": {"GPU-a": GPU}, "xids": {}, "kernel_log": ["another boot", 10**6]}))
    state = GpuState(folder)
    log.xid("0000:21:00", 79)
    log.follow(state)
    wait_for(lambda: counts(state) == {"GPU-a 79": 1}, "the XID")


def test_an_error_of_a_gpu_that_is_not_known_yet_is_its_own_later(log: FakeKernelLog) -> None:
    state = GpuState()
    log.reader(state).take(log.line("NVRM: Xid (PCI:0000:21:00): 79, GPU has fallen off the bus."))
    assert counts(state) == {}
    state.expect([{"uuid": "unknown@0000:21:00.0", "pci_bus_id": "0000:21:00.0"}])
    assert counts(state) == {"unknown@0000:21:00.0 79": 1}
    state.expect([GPU])
    assert counts(state) == {"GPU-a 79": 1}


def test_a_log_that_may_not_be_read_is_said_once_with_what_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    state = GpuState()
    state.expect([GPU])
    KernelLog(state, tmp_path / "absent").start()
    assert state.kernel_log_readable is False
    assert [p.value for p in state.points() if p.metric is c.KERNEL_LOG_READABLE] == [0]
    (record,) = caplog.records
    assert "119" in record.getMessage()
    assert "--kernel-log none" in record.getMessage()
    zeros = {p.labels["xid"] for p in state.points() if p.metric is c.GPU_XID_ERRORS}
    assert zeros
    assert not zeros & {str(xid) for xid in KERNEL_LOG_ONLY}


def test_a_gpu_lost_with_its_xid_in_the_log_alone_is_down_and_named(fake: FakeNvml, log: FakeKernelLog) -> None:
    with closing(Node()) as node:
        node.scrape(60)
        log.follow(node.state)
        fake.lose(5)
        log.xid("0000:51:00", 79)

        def counted() -> bool:
            node.scrape()
            return node.family(c.GPU_XID_ERRORS, fake.uuid(5)).get("79") == 1

        wait_for(counted, "the XID")
        assert node.family(c.GPU_UP)[fake.uuid(5)] == 0
        assert node.family(c.GPU_HEALTH_VERDICT)[fake.uuid(5)] == 2
        reasons = set(node.family(c.GPU_HEALTH_REASON, fake.uuid(5)))
        assert reasons == {"not_responding", "xid_79"}

"""XIDs and expected GPUs: counted as they come, kept across restarts, and safe against a torn file."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fakenvml import FakeNvml
from gpu_node import Node, fake, node
from plimsoll.exporters.nvml.state import FILE, GpuState, StateError
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics.xids import CRITICAL, KERNEL_LOG_ONLY, XIDS
from stack import wait_for

pytestmark = pytest.mark.slow

__all__ = ["fake", "node"]


def counted(node: Node, uuid: str) -> dict[str, float]:
    """XIDs of one GPU that were seen."""
    node.scrape(60)
    return {xid: count for xid, count in node.family(c.GPU_XID_ERRORS, uuid).items() if count}


def test_critical_xids_start_at_zero_for_every_gpu(fake: FakeNvml, node: Node) -> None:
    for index in range(8):
        assert node.family(c.GPU_XID_ERRORS, fake.uuid(index)) == dict.fromkeys(map(str, CRITICAL - KERNEL_LOG_ONLY), 0)
    assert node.family(c.GPU_XID_LAST) == {}


def test_an_xid_is_counted_on_its_gpu_with_its_time(
    fake: FakeNvml, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    fake.xid(5, 79)
    fake.xid(5, 79)
    fake.xid(2, 13)
    fake.xid(3, 2, type_=0x10)  # a change of clocks: no XID
    uuid = fake.uuid(5)
    wait_for(lambda: counted(node, uuid) == {"79": 2} and counted(node, fake.uuid(2)) == {"13": 1}, "the XIDs")
    assert counted(node, fake.uuid(3)) == {}
    assert list(node.family(c.GPU_XID_LAST, uuid)) == ["79"]
    assert sum(f"GPU {uuid}: XID 79" in record.getMessage() for record in caplog.records) == 2


def test_the_xid_of_a_gpu_that_is_lost_with_it_is_counted(fake: FakeNvml, node: Node) -> None:
    fake.lose(5)
    fake.xid(5, 79)
    wait_for(lambda: counted(node, fake.uuid(5)) == {"79": 1}, "the XID")
    assert node.family(c.GPU_UP)[fake.uuid(5)] == 0


def test_xids_come_while_another_gpu_hangs_and_when_nobody_scrapes(fake: FakeNvml, node: Node) -> None:
    fake.wedge(0)
    node.scrape_past_a_hang()
    fake.xid(1, 48)
    points = wait_for(
        lambda: [p for p in node.collector.fallback if p.metric is c.GPU_XID_ERRORS and p.value], "the XID, unasked"
    )
    assert [dict(point.labels) for point in points] == [{"uuid": fake.uuid(1), "xid": "48"}]


def test_counts_and_expected_gpus_survive_a_restart_of_the_exporter(tmp_path: Path, fake: FakeNvml) -> None:
    with closing(Node(tmp_path)) as before:
        before.scrape(60)
        fake.xid(6, 79)
        wait_for(lambda: counted(before, fake.uuid(6)) == {"79": 1}, "the XID")
        last = before.family(c.GPU_XID_LAST, fake.uuid(6))
    fake.wedge(6)
    with closing(Node(tmp_path)) as after:
        after.scrape_past_a_hang()
        assert after.up() == [1, 1, 1, 1, 1, 1, 0, 1]
        assert after.family(c.GPU_XID_ERRORS, fake.uuid(6))["79"] == 1
        assert after.family(c.GPU_XID_LAST, fake.uuid(6)) == last
        assert after.family(c.GPU_RESPONSE_AGE, fake.uuid(6)) == {}


def test_xids_are_counted_on_after_the_library_crashed(fake: FakeNvml, node: Node) -> None:
    fake.xid(1, 31)
    wait_for(lambda: counted(node, fake.uuid(1)) == {"31": 1}, "the first XID")
    fake.restart_driver("580.82.07")
    node.scrape(60)
    assert node.up() == [1] * 8
    fake.xid(1, 31)
    wait_for(lambda: counted(node, fake.uuid(1)) == {"31": 2}, "the second XID")


def test_a_gpu_that_reports_no_events_is_read_all_the_same(fake: FakeNvml) -> None:
    fake.set(0, event_types=0)
    with closing(Node()) as node:
        node.scrape(60)
        assert node.up() == [1] * 8
        fake.xid(1, 62)
        wait_for(lambda: counted(node, fake.uuid(1)) == {"62": 1}, "another GPU's XID")


@pytest.mark.parametrize("torn", ["", "{", "[]", '{"gpus": {}}', '{"gpus": {"a": 1}, "xids": {}}', "\x00"])
def test_a_torn_file_is_kept_aside_and_counting_begins_anew(
    tmp_path: Path, torn: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).write_text(torn)
    memory = GpuState(tmp_path)
    assert memory.gpus() == {}
    assert (tmp_path / "gpus.broken").read_text() == torn
    assert len(caplog.records) == 1
    assert json.loads((tmp_path / FILE).read_text()) == {"gpus": {}, "xids": {}, "sxids": [], "kernel_log": []}


def test_a_file_cut_short_by_a_crash_never_replaces_the_whole_one(tmp_path: Path) -> None:
    memory = GpuState(tmp_path)
    memory.expect([{"uuid": "GPU-a", "pci_bus_id": "00000000:01:00.0"}])
    (tmp_path / "gpus.draft").write_text('{"gpus": {"GPU-')
    assert set(GpuState(tmp_path).gpus()) == {"GPU-a"}


def test_a_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="writable folder"):
        GpuState(tmp_path / "absent")
    file = tmp_path / "file"
    file.touch()
    command = [
        sys.executable,
        "-m",
        "plimsoll.compose.cli",
        "export",
        "--state-dir",
        str(file / "below"),
        "--listen",
        "127.0.0.1:0",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "--state-dir" in done.stderr


def test_a_full_disk_costs_the_file_and_not_the_count(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    memory = GpuState(folder)
    memory.expect([{"uuid": "GPU-a", "pci_bus_id": "00000000:01:00.0"}])
    (folder / FILE).unlink()
    folder.rmdir()
    memory.xid("GPU-a", 79, 1.0)
    values = {p.labels["xid"]: p.value for p in memory.points() if p.metric is c.GPU_XID_ERRORS}
    assert values["79"] == 1
    assert "not writable" in caplog.text


def test_the_severity_table_is_complete_and_pages_for_what_takes_a_gpu_away() -> None:
    assert {46, 48, 62, 64, 74, 79, 95, 119, 120} <= CRITICAL
    assert not CRITICAL & {13, 31, 43, 45, 63, 94, 109}
    assert all(xid.meaning and xid.action and xid.severity in ("page", "ticket", "info") for xid in XIDS.values())

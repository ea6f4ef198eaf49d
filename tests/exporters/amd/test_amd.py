"""AMD Instinct through AMD's unmodified binding, from a compiled library without a GPU: the same names as for NVIDIA."""

import ctypes
import struct
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from export_process import exporting
from fakeamdsmi import FakeAmdSmi
from gpu_node import Node
from plimsoll.exporters.nvml.collector import AMD
from plimsoll.slo import metrics as c
from stack import wait_for

pytestmark = pytest.mark.slow
NO_PERM, IO, DRIVER_NOT_LOADED, NOT_SUPPORTED = 10, 12, 34, 2


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAmdSmi:
    made = FakeAmdSmi(tmp_path, 8)
    for name, value in made.variables.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def node(fake: FakeAmdSmi) -> Iterator[Node]:
    made = Node(vendor=AMD)
    with closing(made):
        made.scrape(60)
        yield made


def test_an_mi300x_has_the_names_and_units_of_every_gpu(fake: FakeAmdSmi, node: Node) -> None:
    assert node.success() == 1
    assert node.up() == [1] * 8
    assert {name: value for name, value in node.of(fake.uuid(3)).items() if not name.startswith("gpu_health")} == {
        "gpu_up": 1,
        "gpu_memory_total_bytes": 196_592 * 2**20,
        "gpu_memory_used_bytes": 150_000 * 2**20,
        "gpu_memory_free_bytes": 46_592 * 2**20,
        "gpu_busy_ratio": 0.93,
        "gpu_memory_busy_ratio": 0.41,
        "gpu_power_watts": 691,
        "gpu_power_limit_watts": 750,
        "gpu_power_limit_default_watts": 750,
        "gpu_power_limit_min_watts": 0,
        "gpu_power_limit_max_watts": 750,
        "gpu_energy_joules_total": pytest.approx(15_259, rel=1e-6),
        "gpu_temperature_celsius": 71,
        "gpu_memory_temperature_celsius": 58,
        "gpu_clock_hertz sm": 2_086_000_000,
        "gpu_clock_hertz memory": 1_300_000_000,
        "gpu_clock_max_hertz sm": 2_100_000_000,
        "gpu_clock_max_hertz memory": 1_300_000_000,
        "gpu_clock_limited software_power_cap": 1,
        "gpu_clock_limited hardware_thermal": 0,
        "gpu_ecc_errors_total corrected": 3,
        "gpu_ecc_errors_total uncorrected": 0,
        "gpu_retired_pages_total uncorrected": 0,
        "gpu_retired_pages_pending": 0,
        "gpu_pcie_link_width": 16,
        "gpu_pcie_link_width_max": 16,
        "gpu_pcie_replays_total": 5,
        **{f"gpu_nvlink_up {link}": 1 for link in range(1, 8)},
        "gpu_processes": 0,
        "gpu_processes_unassigned": 0,
        "gpu_memory_usage_bytes other": 0,
        "gpu_memory_usage_bytes unattributed": 150_000 * 2**20,
    }


def test_its_maker_stands_on_its_info(fake: FakeAmdSmi, node: Node) -> None:
    infos = {p.labels["uuid"]: dict(p.labels) for p in node.points if p.metric is c.GPU_INFO}
    assert infos[fake.uuid(1)] | {"pci_bus_id": ""} == {
        "uuid": fake.uuid(1),
        "index": "1",
        "name": "AMD Instinct MI300X",
        "pci_bus_id": "",
        "driver_version": "6.14.14",
        "cuda_version": "",
        "vendor": "amd",
    }
    assert len({info["pci_bus_id"] for info in infos.values()}) == 8


def test_a_lost_gpu_is_down_and_the_others_are_not(fake: FakeAmdSmi, node: Node) -> None:
    fake.lose(5, IO)
    node.scrape()
    assert node.family(c.GPU_UP)[fake.uuid(5)] == 0
    assert sum(node.up()) == 7
    assert node.family(c.GPU_HEALTH_VERDICT)[fake.uuid(5)] == 2


def test_a_gpu_without_permission_is_not_lost(fake: FakeAmdSmi, node: Node) -> None:
    fake.lose(5, NO_PERM)
    node.scrape()
    assert node.reasons() == {fake.uuid(5): "no_permission"}
    assert node.up() == [1] * 7


def test_what_one_call_does_not_answer_is_absent_and_named(fake: FakeAmdSmi, node: Node) -> None:
    fake.fail(0, "amdsmi_get_energy_count", IO)
    fake.set(1, "amdsmi_get_power_info", current_socket_power=0xFFFF, average_socket_power=0xFFFF)
    node.scrape()
    assert node.family(c.GPU_ENERGY, fake.uuid(0)) == {}
    assert node.family(c.GPU_METRIC_MISSING, fake.uuid(0)) == {c.GPU_ENERGY.name: 1}
    assert node.family(c.GPU_METRIC_MISSING, fake.uuid(1)) == {c.GPU_POWER.name: 1}
    assert node.up() == [1] * 8


def test_faults_of_memory_and_links_are_seen(fake: FakeAmdSmi, node: Node) -> None:
    fake.set(2, "amdsmi_get_gpu_total_ecc_count", correctable_count=10, uncorrectable_count=2)
    pages = b"".join(struct.pack("<QQI4x", 4096 * n, 4096, status) for n, status in enumerate((0, 1)))
    fake.raw(2, "amdsmi_get_gpu_bad_page_info", pages)
    links = fake.struct("amdsmi_xgmi_link_status_t", total_links=8)
    for link in range(8):
        links.status[link] = 0 if link == 3 else 1
    fake.raw(2, "amdsmi_get_gpu_xgmi_link_status", bytes(links))
    node.scrape()
    assert node.family(c.GPU_ECC_ERRORS, fake.uuid(2)) == {"corrected": 10, "uncorrected": 2}
    assert node.family(c.GPU_RETIRED_PAGES, fake.uuid(2)) == {"uncorrected": 2}
    assert node.family(c.GPU_RETIRED_PENDING, fake.uuid(2)) == {"": 1}
    assert [link for link, up in node.family(c.GPU_NVLINK_UP, fake.uuid(2)).items() if not up] == ["3"]
    assert set(node.family(c.GPU_HEALTH_REASON, fake.uuid(2))) == {"reset_pending"}


def test_processes_are_listed_with_their_memory(fake: FakeAmdSmi, node: Node) -> None:
    process = fake.struct("amdsmi_proc_info_t", pid=4711)
    process.memory_usage.vram_mem = 10**9
    fake.raw(0, "amdsmi_get_gpu_process_list", bytes(process) * 2)
    node.scrape()
    assert node.family(c.GPU_PROCESSES, fake.uuid(0)) == {"": 2}
    assert node.family(c.GPU_PROCESSES_UNASSIGNED, fake.uuid(0)) == {"": 2}
    assert node.family(c.GPU_MEMORY_USAGE, fake.uuid(0))["other"] == 2 * 10**9


@pytest.mark.parametrize(
    ("code", "reason"), [(DRIVER_NOT_LOADED, "driver_not_loaded"), (NO_PERM, "no_permission"), (18, "library_failed")]
)
def test_a_library_that_does_not_start_says_why(
    fake: FakeAmdSmi, code: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.state.init_code = code
    with closing(Node(vendor=AMD)) as node:
        node.scrape(60)
        assert node.success() == 0
        assert node.collector._reason == reason
    assert sum("AMD SMI doesn't start" in record.getMessage() for record in caplog.records) == 1


def test_without_the_library_the_fix_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ROCM_PATH", str(tmp_path))
    with closing(Node(vendor=AMD)) as node:
        node.scrape(60)
    assert sum("libamd_smi.so not found" in record.getMessage() for record in caplog.records) == 1


def test_the_exporter_serves_them(tmp_path: Path, fake: FakeAmdSmi) -> None:
    with exporting(tmp_path, "--gpu-vendor", "amd", "--kernel-log", "none") as exporter:
        wait_for(lambda: exporter.values().get((c.GPU_UP.name, fake.uuid(7))) == 1, "the eighth GPU")
        values = exporter.values()
    assert values[c.NODE_HEALTH_VERDICT.name, ""] == 0
    assert values["plimsoll_collector_success", "amdsmi"] == 1


def test_the_fake_has_the_sizes_of_the_binding(fake: FakeAmdSmi) -> None:
    sizes = [
        ctypes.sizeof(getattr(fake.types, name)) for name in ("amdsmi_proc_info_t", "amdsmi_retired_page_record_t")
    ]
    assert sizes == [704, 24]

"""GPU numbers through the unmodified binding, from a compiled library without a GPU."""

import ctypes
import logging
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pynvml
import pytest

from fakenvml import FakeNvml, compile_library
from fakenvml.layout import Device, State
from gpu_node import Node, fake, node
from plimsoll.exporters.exposition import Renderer
from plimsoll.slo import metrics
from stack import require, wait_for

__all__ = ["fake", "node"]


def test_the_fake_has_the_shape_that_the_binding_expects() -> None:
    twins = (
        *(State, Device, pynvml.nvmlPciInfo_t, pynvml.c_nvmlMemory_t, pynvml.c_nvmlMemory_v2_t),
        *(pynvml.c_nvmlUtilization_t, pynvml.c_nvmlFieldValue_t, pynvml.c_nvmlGpmMetric_t, pynvml.c_nvmlGpmSupport_t),
        *(pynvml.c_nvmlEventData_t, pynvml.c_nvmlProcessInfo_t, pynvml.c_nvmlEccSramErrorStatus_v1_t),
        pynvml.c_nvmlBAR1Memory_t,
        getattr(pynvml, "c_nvmlGpuFabricInfo_v3_t", ctypes.c_char * 40),  # the binding has it from 13.580 on
        getattr(pynvml, "c_nvmlMarginTemperature_v1_t", ctypes.c_char * 8),  # from 12.570 on
        getattr(pynvml, "c_nvmlRepairStatus_t", ctypes.c_char * 12),  # from 13.580 on
        getattr(pynvml, "c_nvmlUnrepairableMemory_v1_t", ctypes.c_char * 8),  # from 13.590 on
        pynvml.c_nvmlProcessUtilizationSample_t,
        pynvml.c_nvmlSample_t,
    )
    sizes = (ctypes.c_uint * len(twins)).in_dll(ctypes.CDLL(str(compile_library())), "fake_sizes")
    assert list(sizes) == [ctypes.sizeof(twin) for twin in twins]


def test_the_plain_fields_arrive_in_base_units(fake: FakeNvml, node: Node) -> None:
    assert {name: value for name, value in node.of(fake.uuid(3)).items() if name in PLAIN} == PLAIN


PLAIN: dict[str, float] = {
    "gpu_up": 1,
    "gpu_memory_total_bytes": 85_520_809_984,
    "gpu_memory_used_bytes": 70_000_000_000,
    "gpu_memory_reserved_bytes": 602_931_200,
    "gpu_memory_free_bytes": 85_520_809_984 - 70_000_000_000 - 602_931_200,
    "gpu_bar1_used_bytes": 3 * 2**20,
    "gpu_busy_ratio": 0.91,
    "gpu_memory_busy_ratio": 0.57,
    "gpu_power_watts": 612.345,
    "gpu_power_limit_watts": 700,
    "gpu_energy_joules_total": 123_456_789.012,
    "gpu_temperature_celsius": 61,
    "gpu_performance_state": 0,
    "gpu_persistence_enabled": 1,
    "gpu_pcie_link_generation": 5,
    "gpu_pcie_link_generation_max": 5,
    "gpu_pcie_link_width": 16,
    "gpu_pcie_link_width_max": 16,
    "gpu_clock_hertz graphics": 1_755_000_000,
    "gpu_clock_hertz sm": 1_755_000_000,
    "gpu_clock_hertz memory": 2_619_000_000,
    "gpu_clock_hertz video": 1_395_000_000,
    "gpu_clock_max_hertz graphics": 1_980_000_000,
    "gpu_clock_max_hertz sm": 1_980_000_000,
    "gpu_clock_max_hertz memory": 2_619_000_000,
    "gpu_clock_max_hertz video": 1_545_000_000,
}


def test_what_a_gpu_is_stands_on_its_info_alone(fake: FakeNvml, node: Node) -> None:
    info = [dict(point.labels) for point in node.points if point.metric is metrics.GPU_INFO]
    assert info[2] == {
        "uuid": fake.uuid(2),
        "index": "2",
        "name": "NVIDIA H100 80GB HBM3",
        "pci_bus_id": "00000000:21:00.0",
        "driver_version": "580.82.07",
        "cuda_version": "13.0",
        "vendor": "nvidia",
    }
    shared = metrics.GPU_MEMORY_USAGE  # has a replica where a replica holds it
    gpu = [point for point in node.points if point.metric.name.startswith("gpu_") and point.metric is not shared]
    assert all(set(point.labels) == set(point.metric.labels) for point in gpu)


def test_values_are_read_anew_at_every_scrape(fake: FakeNvml, node: Node) -> None:
    fake.set(4, power_mw=101_000, temperature_c=0)
    node.scrape()
    assert node.of(fake.uuid(4))["gpu_power_watts"] == 101
    assert node.of(fake.uuid(4))["gpu_temperature_celsius"] == 0
    assert node.of(fake.uuid(5))["gpu_power_watts"] == 612.345


@pytest.mark.parametrize("code", [3, 4, 13, 21, 25, 26, 10, 999])
def test_a_field_that_does_not_answer_is_absent_and_the_gpu_is_up(fake: FakeNvml, node: Node, code: int) -> None:
    fake.fail(0, "energy", code)
    fake.fail(0, "clock", code)
    node.scrape()
    values = node.of(fake.uuid(0))
    assert values["gpu_up"] == 1
    assert not [name for name in values if name.startswith(("gpu_energy", "gpu_clock_hertz "))]
    assert values["gpu_clock_max_hertz sm"] == 1_980_000_000
    assert values["gpu_power_watts"] == 612.345
    assert "gpu_energy_joules_total" in node.of(fake.uuid(1))


def test_the_first_memory_call_gives_only_what_it_can_tell(fake: FakeNvml, node: Node) -> None:
    fake.fail(0, "memory_v2", pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)
    node.scrape()
    memory = {
        name: value
        for name, value in node.of(fake.uuid(0)).items()
        if name in PLAIN and "gpu_memory" in name and "bytes" in name
    }
    assert memory == {
        "gpu_memory_total_bytes": 85_520_809_984,
        "gpu_memory_free_bytes": 85_520_809_984 - 70_000_000_000 - 602_931_200,
    }


@pytest.mark.parametrize("code", [15, 16, 999])
def test_a_lost_gpu_stays_expected_and_comes_back(
    fake: FakeNvml, node: Node, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fake.lose(6, code)
    for _ in range(2):
        node.scrape()
        assert node.up() == [1, 1, 1, 1, 1, 1, 0, 1]
        assert node.of(fake.uuid(6)) == {"gpu_up": 0}
        assert len([point for point in node.points if point.metric is metrics.GPU_INFO]) == 8
        assert node.success() == 1
    fake.restore(6)
    node.scrape()
    assert node.up() == [1] * 8
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert fake.uuid(6) in said[0]
    assert f"({code})" in said[0]
    assert said[1] == "GPU 6: recovered"


def test_a_wedged_gpu_costs_one_wait_and_only_its_own_numbers(fake: FakeNvml, node: Node) -> None:
    fake.wedge(2)
    node.scrape_past_a_hang()
    assert node.up() == [1, 1, 0, 1, 1, 1, 1, 1]
    assert node.of(fake.uuid(7))["gpu_power_watts"] == 612.345

    # With an hour's patience this would run into the test's timeout if the scrape waited for it again.
    reads = fake.state.devices[2].reads
    node.scrape(time_limit=3600)
    assert node.up() == [1, 1, 0, 1, 1, 1, 1, 1]
    assert node.of(fake.uuid(2)) == {"gpu_up": 0}
    assert fake.state.devices[2].reads == reads

    fake.restore(2)

    def all_up() -> bool:
        node.scrape()
        return node.up() == [1] * 8

    wait_for(all_up, "the wedged GPU to come back")


def test_a_code_that_nobody_knows_is_a_number_and_never_a_call_into_the_driver(
    fake: FakeNvml, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    fake.lose(0, 4711)  # the fake's nvmlErrorString aborts the process, as str() of this error would
    node.scrape()
    assert node.up() == [0, *[1] * 7]
    assert "unknown code (4711)" in caplog.text


def test_a_driver_too_old_for_some_symbols_gives_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    without = ["nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetTotalEnergyConsumption", "nvmlDeviceGetPciInfo_v3"]
    without += ["nvmlDeviceGetMarginTemperature", "nvmlDeviceGetCurrentClocksEventReasons", "nvmlGpmQueryDeviceSupport"]
    without += ["nvmlDeviceGetGpuFabricInfoV", "nvmlDeviceGetSramEccErrorStatus", "nvmlEventSetCreate"]
    old = FakeNvml(tmp_path, 2, without)
    for name, value in old.variables.items():
        monkeypatch.setenv(name, value)
    with closing(Node()) as node:
        node.scrape(60)
        values = node.of(old.uuid(1))
    assert values["gpu_up"] == 1
    assert values["gpu_memory_total_bytes"] == 85_520_809_984
    assert values["gpu_clock_limited gpu_idle"] == 0
    absent = {"gpu_memory_used_bytes", "gpu_energy_joules_total", "gpu_temperature_margin_celsius", "gpu_fabric_state"}
    assert (absent | {"gpu_sm_active_ratio", "gpu_sram_threshold_exceeded"}).isdisjoint(values)
    assert caplog.records == []


def test_a_machine_without_nvml_is_told_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if _has_nvml():
        pytest.skip("this machine has a real libnvidia-ml.so.1")
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    with closing(Node()) as node:
        for _ in range(2):
            node.scrape(60)
    assert node.success() == 0
    assert node.up() == []
    assert [record.getMessage() for record in caplog.records] == [
        "collector nvml: NVML library libnvidia-ml.so.1 not found. Install the NVIDIA driver, or start with --no-gpu."
    ]


def _has_nvml() -> bool:
    found = subprocess.run(
        [sys.executable, "-c", "import ctypes; ctypes.CDLL('libnvidia-ml.so.1')"], capture_output=True, check=False
    )
    return found.returncode == 0


@pytest.mark.prometheus
def test_promtool_finds_nothing_to_complain_about(node: Node) -> None:
    page = Renderer().render(node.points, "").body.decode()
    checked = subprocess.run(
        [require("promtool"), "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr + checked.stdout) == (0, "")

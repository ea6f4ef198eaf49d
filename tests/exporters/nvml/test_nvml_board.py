"""The board behind the numbers: what the vendor asks for, repairs that wait, fans, errors of the SRAM, cycles."""

from contextlib import closing
from pathlib import Path

import pytest

from fakenvml import FakeNvml
from gpu_node import Node, fake, node
from plimsoll.slo import metrics as c
from stack import wait_for

__all__ = ["fake", "node"]


def board(node: Node, uuid: str) -> dict[str, str]:
    (labels,) = [p.labels for p in node.points if p.metric is c.GPU_BOARD_INFO and p.labels["uuid"] == uuid]
    return {name: value for name, value in labels.items() if name != "uuid"}


def test_what_the_vendor_asks_for_is_told(fake: FakeNvml, node: Node) -> None:
    assert board(node, fake.uuid(3)) == {
        "serial": "1652923000001",
        "vbios_version": "96.00.74.00.01",
        "inforom_version": "G520.0200.00.05",
        "gsp_version": "580.82.07",
    }


def test_a_board_that_tells_half_of_it_has_empty_labels(fake: FakeNvml) -> None:
    fake.fail(0, "board")
    with closing(Node()) as node:
        node.scrape(60)
        assert board(node, fake.uuid(0)) == {
            "serial": "",
            "vbios_version": "",
            "inforom_version": "",
            "gsp_version": "580.82.07",
        }


def test_repairs_that_wait_and_faults_that_none_mends(fake: FakeNvml, node: Node) -> None:
    fake.set(1, repair=(1, 0))
    fake.set(2, unrepairable=1)
    node.scrape()
    assert node.family(c.GPU_REPAIR_PENDING, fake.uuid(1)) == {"channel": 1, "tpc": 0}
    assert node.family(c.GPU_REPAIR_PENDING, fake.uuid(2)) == {"channel": 0, "tpc": 0}
    assert node.family(c.GPU_MEMORY_UNREPAIRABLE, fake.uuid(1)) == {"": 0}
    assert node.family(c.GPU_MEMORY_UNREPAIRABLE, fake.uuid(2)) == {"": 1}


def test_modes_of_the_gpu(fake: FakeNvml, node: Node) -> None:
    fake.set(0, compute_mode=3, gsp_enabled=0)
    node.scrape()
    assert [node.family(c.GPU_COMPUTE_MODE, fake.uuid(index)) for index in (0, 1)] == [{"": 3}, {"": 0}]
    assert [node.family(c.GPU_GSP_ENABLED, fake.uuid(index)) for index in (0, 1)] == [{"": 0}, {"": 1}]


def test_fans_are_told_one_by_one_and_an_sxm_board_has_none(fake: FakeNvml) -> None:
    fake.set(0, fan_count=2, fan_percent=(30, 100))
    with closing(Node()) as node:
        node.scrape(60)
        assert node.family(c.GPU_FAN_SPEED, fake.uuid(0)) == {"0": 0.3, "1": 1.0}
        assert node.family(c.GPU_FAN_SPEED, fake.uuid(1)) == {}
        assert node.up() == [1] * 8


def test_sram_errors_stand_by_kind_and_by_unit(fake: FakeNvml, node: Node) -> None:
    # In NVML's order: in the GPU's life parity, secded, corrected; since the driver's start likewise; then by unit.
    fake.set(4, sram_errors=(9, 8, 70, 1, 2, 30, 4, 5, 6, 7, 11))
    node.scrape()
    uuid = fake.uuid(4)
    assert node.family(c.GPU_SRAM_ERRORS, uuid) == {"corrected": 30, "parity": 1, "secded": 2}
    units = {"l2": 4, "sm": 5, "pcie": 6, "microcontroller": 7, "other": 11}
    assert node.family(c.GPU_SRAM_LIFETIME_ERRORS, uuid) == units


@pytest.mark.parametrize("version", ["590.48.01", "595.10.01"])
def test_cycles_are_asked_of_drivers_that_count_them_and_are_no_percent(fake: FakeNvml, version: str) -> None:
    fake.state.driver_version = version.encode()
    for number, cycles in ((248, 4e12), (249, 3e12), (250, 1e12)):
        fake.ratio(0, number, cycles)
    with closing(Node()) as node:

        def window() -> bool:
            node.scrape(60)
            return all(node.family(c.GPU_SM_ACTIVE, fake.uuid(index)) for index in (0, 1))

        wait_for(window, "a window of GPM on both")
        found = [node.family(metric, fake.uuid(0)) for metric in CYCLES]
        # GPU 1 has no such counters: their ratios are there all the same.
        assert node.family(c.GPU_SM_ACTIVE, fake.uuid(1)) == {"": 0.88}
        assert node.family(c.GPU_SM_CYCLES, fake.uuid(1)) == {}
    assert found == ([{"": 4e12}, {"": 3e12}, {"": 1e12}] if version.startswith("595") else [{}, {}, {}])


CYCLES = (c.GPU_SM_CYCLES, c.GPU_SM_ACTIVE_CYCLES, c.GPU_TENSOR_ACTIVE_CYCLES)


def test_a_driver_without_these_calls_gives_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without = ["nvmlDeviceGetRepairStatus", "nvmlDeviceGetUnrepairableMemoryFlag_v1", "nvmlDeviceGetGspFirmwareMode"]
    without += ["nvmlDeviceGetGspFirmwareVersion", "nvmlDeviceGetNumFans", "nvmlDeviceGetInforomImageVersion"]
    old = FakeNvml(tmp_path, 1, without)
    for name, value in old.variables.items():
        monkeypatch.setenv(name, value)
    with closing(Node()) as node:
        node.scrape(60)
        assert node.up() == [1]
        assert board(node, old.uuid(0))["serial"] == "1652923000001"
        absent = (c.GPU_REPAIR_PENDING, c.GPU_MEMORY_UNREPAIRABLE, c.GPU_GSP_ENABLED, c.GPU_FAN_SPEED)
        assert [node.family(metric, old.uuid(0)) for metric in absent] == [{}] * len(absent)

"""What a GPU no longer reports is named, what it reports and can't be is not exported, and what it can't report isn't asked for."""

import logging
from contextlib import closing
from pathlib import Path

import pytest

from fakenvml import LONG_LONG, UNSIGNED, FakeNvml
from gpu_node import Node, fake, node
from plimsoll.exporters.nvml.readers import device
from plimsoll.slo import metrics as c

__all__ = ["fake", "node"]
ALL_ONES = 2**32 - 1


def missing(node: Node, uuid: str) -> set[str]:
    return set(node.family(c.GPU_METRIC_MISSING, uuid))


ERR = {
    "power": c.GPU_POWER.name,
    "energy": c.GPU_ENERGY.name,
    "temperature": c.GPU_TEMPERATURE.name,
    "fans": c.GPU_FAN_SPEED.name,
}


def test_a_sensor_that_answers_err_is_named_and_logged_once(fake: FakeNvml, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    fake.set(1, fan_count=1)
    with closing(Node()) as node:
        node.scrape(60)
        assert missing(node, fake.uuid(1)) == set()
        for call in ERR:
            fake.fail(1, call, 999)
        for _ in range(3):
            node.scrape()
        assert missing(node, fake.uuid(1)) == set(ERR.values())
        assert missing(node, fake.uuid(0)) == set()
        assert node.up() == [1] * 8
        said = [record.getMessage() for record in caplog.records if "no longer reported" in record.getMessage()]
        assert len(said) == len(ERR)
        fake.fail(1, "power", 0)
        node.scrape()
        assert missing(node, fake.uuid(1)) == set(ERR.values()) - {c.GPU_POWER.name}


def test_what_a_gpu_had_is_known_after_a_restart_and_another_driver_begins_afresh(
    tmp_path: Path, fake: FakeNvml
) -> None:
    with closing(Node(tmp_path)) as before:
        before.scrape(60)
    fake.fail(2, "energy", 999)
    with closing(Node(tmp_path)) as after:
        after.scrape(60)
        assert missing(after, fake.uuid(2)) == {c.GPU_ENERGY.name}
        fake.restart_driver("595.10.01")
        after.scrape(60)
        assert missing(after, fake.uuid(2)) == set()


def test_what_a_gpu_never_had_is_not_missing(fake: FakeNvml) -> None:
    for call in ("energy", "margin", "bar1"):
        fake.fail(0, call)
    with closing(Node()) as node:
        for _ in range(2):
            node.scrape(60)
        assert missing(node, fake.uuid(0)) == set()


def test_impossible_values_are_unknown_and_counted(fake: FakeNvml, node: Node) -> None:
    fake.set(
        0, power_mw=ALL_ONES, temperature_c=255, energy_mj=2**64 - 1, busy_percent=ALL_ONES, clock_mhz=(ALL_ONES,) * 4
    )
    fake.set(0, memory_busy_percent=127_622)
    fake.field(0, 82, ALL_ONES, UNSIGNED)
    fake.field(0, 94, 2**64 - 1, LONG_LONG)
    node.scrape()
    values = node.of(fake.uuid(0))
    impossible = {
        *("gpu_power_watts", "gpu_temperature_celsius", "gpu_energy_joules_total", "gpu_busy_ratio"),
        *("gpu_memory_busy_ratio", "gpu_memory_temperature_celsius", "gpu_pcie_replays_total", "gpu_clock_hertz sm"),
    }
    assert impossible.isdisjoint(values)
    rejected = node.family(c.GPU_VALUES_REJECTED, fake.uuid(0))
    assert set(rejected) == {name.split(" ", maxsplit=1)[0] for name in impossible}
    assert rejected["gpu_power_watts"] == 1
    assert rejected["gpu_clock_hertz"] == 4
    assert node.up() == [1] * 8
    node.scrape()
    assert node.family(c.GPU_VALUES_REJECTED, fake.uuid(0))["gpu_power_watts"] == 2
    assert node.family(c.GPU_VALUES_REJECTED, fake.uuid(1)) == {}


def test_the_bounds_themselves_are_possible(fake: FakeNvml, node: Node) -> None:
    fake.set(0, power_mw=0, temperature_c=0, busy_percent=100, energy_mj=0)
    node.scrape()
    values = node.of(fake.uuid(0))
    assert [values[name] for name in ("gpu_power_watts", "gpu_temperature_celsius", "gpu_busy_ratio")] == [0, 0, 1]
    assert node.family(c.GPU_VALUES_REJECTED) == {}


def test_what_is_not_supported_is_not_asked_for_at_every_scrape(fake: FakeNvml) -> None:
    fake.fail(0, "remap_room")
    fake.fail(1, "remap_room", 999)  # passing trouble: asked again
    with closing(Node()) as node:
        for _ in range(10):
            node.scrape(60)
    assert fake.asked(0, "remap_room") == 1
    assert fake.asked(1, "remap_room") == 10
    assert fake.asked(2, "remap_room") == 10


@pytest.mark.parametrize("answer", ["not supported", "zeros"])
def test_a_gpu_without_memory_of_its_own_has_the_systems(fake: FakeNvml, answer: str) -> None:
    if answer == "zeros":
        fake.set(0, memory_total=0, memory_used=0, memory_reserved=0)
    else:
        fake.fail(0, "memory")
        fake.fail(0, "memory_v2")
    with closing(Node()) as node:
        node.scrape(60)
        total = int(dict(device._MEMINFO.findall(Path(device.MEMINFO).read_text()))["MemTotal"]) * 1024
        assert node.family(c.GPU_MEMORY_TOTAL, fake.uuid(0)) == {"": total}
        used, free = (node.family(metric, fake.uuid(0))[""] for metric in (c.GPU_MEMORY_USED, c.GPU_MEMORY_FREE))
        assert used + free == total
        assert node.family(c.GPU_MEMORY_UNIFIED) == {fake.uuid(0): 1}
        assert node.up() == [1] * 8


def test_memory_that_may_not_be_read_is_not_replaced_by_the_systems(fake: FakeNvml) -> None:
    for call in ("memory", "memory_v2"):
        fake.fail(0, call, 4)
    with closing(Node()) as node:
        node.scrape(60)
        assert node.family(c.GPU_MEMORY_TOTAL, fake.uuid(0)) == {}
        assert node.family(c.GPU_MEMORY_UNIFIED) == {}


@pytest.mark.parametrize("call", ["board", "power"])
def test_a_corrupted_inforom_costs_its_numbers_and_not_the_gpu(fake: FakeNvml, call: str) -> None:
    fake.fail(1, call, 14)
    with closing(Node()) as node:
        for _ in range(2):
            node.scrape(60)
        assert node.up() == [1] * 8
        assert node.family(c.GPU_INFOROM_CORRUPTED) == {fake.uuid(1): 1}
        assert node.of(fake.uuid(1))["gpu_temperature_celsius"] == 61
        boards = [p.labels for p in node.points if p.metric is c.GPU_BOARD_INFO and p.labels["uuid"] == fake.uuid(1)]
        assert boards[0]["gsp_version"] == "580.82.07"


def test_one_link_that_does_not_answer_costs_that_link_alone(fake: FakeNvml, node: Node) -> None:
    for link, code in ((4, 3), (5, 2)):
        fake.state.devices[0].link_codes[link] = code
    node.scrape()
    links = node.family(c.GPU_NVLINK_UP, fake.uuid(0))
    assert set(links) == {str(link) for link in range(18)} - {"4", "5"}
    assert node.family(c.GPU_NVLINK_ERRORS, fake.uuid(0))["6 replay"] == 0
    assert node.family(c.GPU_NVLINK_TRANSMITTED, fake.uuid(0)) == {"": 2048 * 1024}


def test_a_count_of_links_above_their_number_costs_none(fake: FakeNvml) -> None:
    fake.field(0, 91, 36, UNSIGNED)  # B200: the bound, of which 18 exist
    with closing(Node()) as node:
        node.scrape(60)
        assert len(node.family(c.GPU_NVLINK_UP, fake.uuid(0))) == 18


def test_a_count_of_links_told_late_is_used(fake: FakeNvml) -> None:
    fake.field(0, 91, 18, UNSIGNED, code=999)
    with closing(Node()) as node:
        node.scrape(60)
        assert node.family(c.GPU_NVLINK_UP, fake.uuid(0)) == {}
        fake.field(0, 91, 18, UNSIGNED, code=0)
        node.scrape(60)
        assert len(node.family(c.GPU_NVLINK_UP, fake.uuid(0))) == 18


def test_a_fabric_that_completed_without_success_says_so(fake: FakeNvml, node: Node) -> None:
    fake.set(0, fabric_status=24)  # NVML_ERROR_INSUFFICIENT_RESOURCES
    fake.state.devices[1].fabric_cluster[0] = 0xAB
    fake.set(1, fabric_clique=7, fabric_mask=0b1 | 0b10 << 2 | 3 << 8)
    fake.set(2, fabric_version=2, fabric_mask=0b10 | 1 << 8)
    node.scrape()
    assert node.family(c.GPU_FABRIC_STATE, fake.uuid(0)) == {"": 3}
    assert node.family(c.GPU_FABRIC_STATUS, fake.uuid(0)) == {"": 24}
    assert node.family(c.GPU_FABRIC_STATUS, fake.uuid(1)) == {"": 0}
    assert node.family(c.GPU_FABRIC_FAULT, fake.uuid(1)) == {
        "degraded_bandwidth": 1,
        "route_recovery": 0,
        "incorrect_configuration": 1,
    }
    assert node.family(c.GPU_FABRIC_FAULT, fake.uuid(2)) == {"degraded_bandwidth": 0, "incorrect_configuration": 0}
    assert node.family(c.GPU_FABRIC_INFO, fake.uuid(1)) == {f"ab{'0' * 30} 7": 1}
    assert node.family(c.GPU_FABRIC_INFO, fake.uuid(0)) == {}


def test_modes_that_a_reset_changes_and_a_shared_gpus_users(fake: FakeNvml) -> None:
    fake.set(0, ecc_mode=(1, 0), mig_pending=1, mps_count=2)
    fake.set(1, samples=(80, 40))
    with closing(Node()) as node:
        node.scrape(60)
        assert node.family(c.GPU_ECC_MODE, fake.uuid(0)) == {"now": 1, "pending": 0}
        assert node.family(c.GPU_MIG_PENDING, fake.uuid(0)) == {"": 1}
        assert node.family(c.GPU_MIG_ENABLED, fake.uuid(0)) == {"": 0}
        assert node.family(c.GPU_MPS_PROCESSES, fake.uuid(0)) == {"": 2}
        assert node.family(c.GPU_BUSY_MEAN, fake.uuid(1)) == {"": 0.4}  # half of the samples are idle
        assert node.family(c.GPU_MEMORY_BUSY_MEAN, fake.uuid(1)) == {"": 0.2}

"""Each family of GPU numbers, and what hardware or drivers without it give: nothing."""

import time

import pytest

from fakenvml import ALL_LINKS, SIGNED, UNSIGNED, FakeNvml
from gpu_node import Node, fake, node
from plimsoll.exporters.nvml.abi import driver
from plimsoll.exporters.nvml.readers.fields import fields_of
from plimsoll.slo import metrics as c
from stack import wait_for

__all__ = ["fake", "node"]


def test_gpm_tells_of_the_time_between_two_scrapes(fake: FakeNvml, node: Node) -> None:
    uuid = fake.uuid(0)
    assert node.family(c.GPU_SM_ACTIVE) == {}

    def ratios() -> bool:
        node.scrape()
        return node.family(c.GPU_SM_ACTIVE, uuid) != {}

    wait_for(ratios, "a window of GPM")
    values = node.of(uuid)
    assert values["gpu_sm_active_ratio"] == 0.88
    assert values["gpu_sm_occupancy_ratio"] == 0.41
    assert values["gpu_tensor_active_ratio"] == 0.365
    assert values["gpu_dram_bandwidth_ratio"] == 0.6425
    assert values["gpu_graphics_active_ratio"] == 0.95


def test_a_window_that_is_too_short_repeats_the_one_before(fake: FakeNvml, node: Node) -> None:
    start = time.monotonic()
    for _ in range(10):
        node.scrape()
    seconds = time.monotonic() - start
    assert fake.state.devices[0].gpm_samples <= 2 + seconds  # the first, and one a second at most


def test_a_window_that_is_remembered_is_no_sign_of_life(fake: FakeNvml, node: Node) -> None:
    def ratios() -> bool:
        node.scrape()
        return node.family(c.GPU_SM_ACTIVE, fake.uuid(0)) != {}

    wait_for(ratios, "a window of GPM")
    fake.lose(0, 999)  # passing trouble of one field, or of all: then the GPU is down
    node.scrape()
    assert node.up() == [0, *[1] * 7]
    assert node.of(fake.uuid(0)) == {"gpu_up": 0}


def test_one_ratio_that_this_gpu_lacks_is_absent_alone(fake: FakeNvml, node: Node) -> None:
    fake.ratio(0, 5, 0.0, code=3)

    def ratios() -> bool:
        node.scrape()
        return all(node.family(c.GPU_SM_ACTIVE, fake.uuid(index)) for index in (0, 1))

    wait_for(ratios, "a window of GPM")
    assert node.family(c.GPU_TENSOR_ACTIVE, fake.uuid(0)) == {}
    assert node.family(c.GPU_TENSOR_ACTIVE, fake.uuid(1)) == {"": 0.365}


def test_an_a100_has_no_gpm_and_the_rest(fake: FakeNvml) -> None:
    fake.set(0, gpm_supported=0, name="NVIDIA A100-SXM4-80GB")
    node = Node()
    for _ in range(3):
        node.scrape(60)
    node.close()
    assert fake.state.devices[0].gpm_samples == 0
    assert fake.state.devices[1].gpm_samples > 0
    assert node.of(fake.uuid(0))["gpu_power_watts"] == 612.345
    assert node.up() == [1] * 8


def test_the_reasons_that_hold_the_clocks_down_are_each_a_sample(fake: FakeNvml, node: Node) -> None:
    fake.set(2, clock_reasons=0x4 | 0x40)
    node.scrape()
    reasons = node.family(c.GPU_CLOCK_LIMITED, fake.uuid(2))
    assert {reason for reason, value in reasons.items() if value} == {"software_power_cap", "hardware_thermal"}
    assert len(reasons) == 9
    assert set(node.family(c.GPU_CLOCK_LIMITED, fake.uuid(3)).values()) == {0}


MOVED = ["hardware_power_brake", "hardware_thermal", "software_thermal"]


@pytest.mark.parametrize(
    ("version", "first"),
    [
        ("535.161.08", None),
        ("570.211.01", None),
        ("575.51.03", 251),
        ("580.65.06", 251),
        ("580.66.01", None),
        ("580.81.99", None),
        ("580.82.07", 269),
        ("590.48.01", 269),
        ("", None),
        ("not.a.version", None),
    ],
)
def test_the_fields_that_moved_are_read_where_the_driver_has_them_or_not_at_all(
    version: str, first: int | None
) -> None:
    numbers = {field.labels["reason"]: field.number for field in fields_of(driver(version)) if "reason" in field.labels}
    found = {reason: number for reason, number in numbers.items() if reason in MOVED}
    places = {} if first is None else dict(zip(sorted(MOVED, reverse=True), range(first, first + 3), strict=True))
    assert found == places


def test_an_older_drivers_thermal_seconds_come_from_its_own_numbers(fake: FakeNvml) -> None:
    fake.state.driver_version = b"575.51.03"
    for number, seconds in ((251, 7), (252, 8), (253, 9)):
        fake.field(0, number, seconds * 10**9)
    node = Node()
    node.scrape(60)
    node.close()
    assert node.family(c.GPU_CLOCK_LIMITED_SECONDS, fake.uuid(0)) == {
        "software_power_cap": 1.5,
        "thermal": 0.25,
        "sync_boost": 0,
        "board_limit": 0,
        "reliability": 0,
        "software_thermal": 7,
        "hardware_thermal": 8,
        "hardware_power_brake": 9,
    }
    # On GPU 1, 269 to 271 hold a number too, as power smoothing does on such a driver: it must not pass for seconds.
    assert not set(MOVED) & set(node.family(c.GPU_CLOCK_LIMITED_SECONDS, fake.uuid(1)))


def test_memory_errors_are_told_apart_by_kind_and_by_since_when(fake: FakeNvml, node: Node) -> None:
    device = fake.state.devices[1]
    (device.ecc[0][0], device.ecc[0][1]), (device.ecc[1][0], device.ecc[1][1]) = (5, 50), (2, 20)
    fake.set(1, sram_exceeded=1)
    fake.field(1, 142, 3)
    fake.field(1, 143, 4)
    fake.field(1, 144, 1, UNSIGNED)
    node.scrape()
    uuid = fake.uuid(1)
    assert node.family(c.GPU_ECC_ERRORS, uuid) == {"corrected": 5, "uncorrected": 2}
    assert node.family(c.GPU_ECC_LIFETIME_ERRORS, uuid) == {"corrected": 50, "uncorrected": 20}
    assert node.family(c.GPU_SRAM_THRESHOLD_EXCEEDED, uuid) == {"": 1}
    assert node.family(c.GPU_REMAPPED_ROWS, uuid) == {"corrected": 3, "uncorrected": 4}
    assert node.family(c.GPU_REMAP_PENDING, uuid) == {"": 1}
    assert node.family(c.GPU_REMAP_FAILED, uuid) == {"": 0}
    assert node.family(c.GPU_REMAP_BANKS, uuid) == {"max": 639, "high": 1, "partial": 0, "low": 0, "none": 0}
    assert node.family(c.GPU_RETIRED_PAGES, uuid) == {}


def test_a_gpu_before_ampere_retires_pages_instead(fake: FakeNvml, node: Node) -> None:
    fake.field(0, 29, 6)
    fake.field(0, 30, 1)
    fake.field(0, 31, 1, UNSIGNED)
    for number in range(142, 146):
        fake.field(0, number, 0, code=3)
    node.scrape()
    assert node.family(c.GPU_RETIRED_PAGES, fake.uuid(0)) == {"corrected": 6, "uncorrected": 1}
    assert node.family(c.GPU_RETIRED_PENDING, fake.uuid(0)) == {"": 1}
    assert node.family(c.GPU_REMAPPED_ROWS, fake.uuid(0)) == {}


def test_with_ecc_off_there_are_no_counts(fake: FakeNvml, node: Node) -> None:
    fake.fail(0, "ecc")
    node.scrape()
    assert node.family(c.GPU_ECC_ERRORS, fake.uuid(0)) == {}
    assert node.family(c.GPU_ECC_LIFETIME_ERRORS, fake.uuid(0)) == {}


def test_the_drivers_verdict_and_the_temperatures(fake: FakeNvml, node: Node) -> None:
    fake.field(0, 230, 4, UNSIGNED)
    fake.set(0, margin_c=2**32 - 3)  # three degrees beyond the limit
    fake.field(1, 82, 0, UNSIGNED)  # a board whose memory has no sensor
    node.scrape()
    uuid = fake.uuid(0)
    assert node.family(c.GPU_RECOVERY_ACTION, uuid) == {"": 4}
    assert node.family(c.GPU_TEMPERATURE_MARGIN, uuid) == {"": -3}
    assert node.family(c.GPU_TEMPERATURE_THRESHOLD, uuid) == {
        "shutdown": 92,
        "slowdown": 89,
        "memory_max": 95,
        "gpu_max": 87,
    }
    assert node.family(c.GPU_TEMPERATURE_MARGIN_THRESHOLD, uuid)["shutdown"] == -8
    assert node.family(c.GPU_MEMORY_TEMPERATURE, uuid) == {"": 72}
    assert node.family(c.GPU_MEMORY_TEMPERATURE, fake.uuid(1)) == {}


def test_power_is_told_as_mean_as_of_now_and_with_its_limits(fake: FakeNvml, node: Node) -> None:
    values = node.of(fake.uuid(0))
    assert values["gpu_power_average_watts"] == 610
    assert values["gpu_power_instant_watts"] == 655
    assert [values[f"gpu_power_limit_{which}_watts"] for which in ("min", "max", "default")] == [200, 700, 700]


def test_a_field_is_read_by_the_type_that_the_driver_gives_it(fake: FakeNvml, node: Node) -> None:
    fake.field(0, 193, -40, SIGNED)
    fake.field(0, 197, 2**40 + 1)
    fake.field(0, 185, 123, code=999)
    fake.field(0, 186, 1, type_=99)
    node.scrape()
    values = node.of(fake.uuid(0))
    assert values["gpu_temperature_margin_threshold_celsius shutdown"] == -40
    assert values["gpu_pcie_transmitted_bytes_total"] == 2**40 + 1
    assert values["gpu_up"] == 1
    assert {"gpu_power_average_watts", "gpu_power_instant_watts"}.isdisjoint(values)


def test_pcie_errors_are_told_by_kind(fake: FakeNvml, node: Node) -> None:
    fake.field(0, 94, 12, UNSIGNED)
    fake.field(0, 180, 3)
    node.scrape()
    assert node.family(c.GPU_PCIE_REPLAYS, fake.uuid(0)) == {"": 12}
    assert node.family(c.GPU_PCIE_ERRORS, fake.uuid(0))["fatal"] == 3
    assert len(node.family(c.GPU_PCIE_ERRORS, fake.uuid(0))) == 11


def test_each_nvlink_is_a_sample_and_a_broken_one_counts_nothing(fake: FakeNvml, node: Node) -> None:
    fake.set(0, links_up=2**18 - 1 - 2**7)
    fake.state.devices[0].link_errors[3][2] = 41
    node.scrape()
    uuid = fake.uuid(0)
    links = node.family(c.GPU_NVLINK_UP, uuid)
    assert len(links) == 18
    assert {link for link, up in links.items() if not up} == {"7"}
    errors = node.family(c.GPU_NVLINK_ERRORS, uuid)
    assert errors["3 crc_flit"] == 41
    assert errors["3 replay"] == 0
    assert not [labels for labels in errors if labels.startswith("7 ")]
    assert node.family(c.GPU_NVLINK_TRANSMITTED, uuid) == {"": 2048 * 1024}
    assert node.family(c.GPU_NVLINK_RECEIVED, uuid) == {"": 4096 * 1024}


def test_blackwells_nvlinks_are_read_by_its_own_fields(fake: FakeNvml) -> None:
    fake.fail(0, "link_errors")
    for number in (138, 139):
        fake.field(0, number, 0, scope=ALL_LINKS, code=3)
    fake.set(0, links_up=0b11)
    for link in range(2):
        fake.field(0, 202, 1000, scope=link)
        fake.field(0, 204, 10 + link, scope=link)
        fake.field(0, 215, 5 + link, scope=link)
    fake.field(0, 204, 0, scope=1, code=999)
    node = Node()
    node.scrape(60)
    node.close()
    assert node.family(c.GPU_NVLINK_ERRORS, fake.uuid(0)) == {"0 recovery": 5, "1 recovery": 6}
    assert node.family(c.GPU_NVLINK_TRANSMITTED, fake.uuid(0)) == {"": 2000}
    assert node.family(c.GPU_NVLINK_RECEIVED, fake.uuid(0)) == {}  # one link's share is unknown, so is the sum
    assert "3 replay" in node.family(c.GPU_NVLINK_ERRORS, fake.uuid(1))


def test_a_gpu_without_nvlink_is_not_asked_for_links(fake: FakeNvml) -> None:
    fake.field(0, 91, 0, code=3)
    node = Node()
    node.scrape(60)
    node.close()
    assert not [name for name in node.of(fake.uuid(0)) if "nvlink" in name]
    assert node.up()[0] == 1


@pytest.mark.parametrize(("version", "health"), [(3, {"": 2}), (2, {})])
def test_the_fabrics_state_is_read_in_the_drivers_own_version(
    fake: FakeNvml, node: Node, version: int, health: dict[str, float]
) -> None:
    fake.set(0, fabric_version=version, fabric_state=2, fabric_health=2)
    fake.set(1, fabric_version=1)
    fake.set(2, fabric_state=0)
    node.scrape()
    assert node.family(c.GPU_FABRIC_STATE, fake.uuid(0)) == {"": 2}
    assert node.family(c.GPU_FABRIC_HEALTH, fake.uuid(0)) == health
    assert node.family(c.GPU_FABRIC_STATE, fake.uuid(1)) == {}
    assert node.family(c.GPU_FABRIC_STATE, fake.uuid(2)) == {}


def test_processes_are_counted_and_their_memory_is_summed_where_all_is_known(fake: FakeNvml, node: Node) -> None:
    fake.run(0, (100, 7 * 10**9), (101, 3 * 10**9))
    fake.run(1, (100, 7 * 10**9), (101, 2**64 - 1))  # NVML_VALUE_NOT_AVAILABLE
    node.scrape()
    assert node.family(c.GPU_PROCESSES, fake.uuid(0)) == {"": 2}
    assert node.family(c.GPU_PROCESS_MEMORY, fake.uuid(0)) == {"": 10 * 10**9}
    assert node.family(c.GPU_PROCESSES, fake.uuid(1)) == {"": 2}
    assert node.family(c.GPU_PROCESS_MEMORY, fake.uuid(1)) == {}
    assert node.family(c.GPU_PROCESSES, fake.uuid(2)) == {"": 0}

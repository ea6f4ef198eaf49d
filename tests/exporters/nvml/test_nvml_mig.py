"""A GPU that is split: each instance with its memory and its shares of work."""

from fakenvml import FakeNvml
from gpu_node import Node, fake, node
from plimsoll.slo import metrics as c
from stack import wait_for

__all__ = ["fake", "node"]
LARGE, SMALL = "NVIDIA H100 80GB HBM3 MIG 3g.40gb", "NVIDIA H100 80GB HBM3 MIG 1g.10gb"


def test_mig_instances_are_named_and_empty_places_are_not(fake: FakeNvml, node: Node) -> None:
    fake.slice(0, 0, "MIG-a", LARGE, 2, (42 * 10**9, 30 * 10**9))
    fake.slice(0, 3, "MIG-b", SMALL, 9, (0, 0))  # a driver that does not tell
    fake.fail(0, "utilization")
    node.scrape()
    assert node.family(c.GPU_MIG_ENABLED, fake.uuid(0)) == {"": 1}
    infos = [dict(p.labels) for p in node.points if p.metric is c.GPU_MIG_INFO]
    assert [(info["mig_uuid"], info["gpu_instance"], info["name"][-7:]) for info in infos] == [
        ("MIG-a", "2", "3g.40gb"),
        ("MIG-b", "9", "1g.10gb"),
    ]
    assert {info["uuid"] for info in infos} == {fake.uuid(0)}
    assert node.family(c.GPU_MIG_MEMORY_TOTAL, fake.uuid(0)) == {"MIG-a": 42 * 10**9}
    assert node.family(c.GPU_MIG_MEMORY_USED, fake.uuid(0)) == {"MIG-a": 30 * 10**9}
    assert node.family(c.GPU_BUSY, fake.uuid(0)) == {}
    assert node.family(c.GPU_MIG_ENABLED, fake.uuid(1)) == {"": 0}


def test_each_instance_has_its_shares_and_one_that_is_gone_has_none(fake: FakeNvml, node: Node) -> None:
    fake.slice(0, 0, "MIG-a", LARGE, 2, (42 * 10**9, 30 * 10**9))
    fake.slice(0, 3, "MIG-b", SMALL, 9, (10 * 10**9, 10**9))
    uuid = fake.uuid(0)

    def both() -> bool:
        node.scrape()
        return len(node.family(c.GPU_MIG_SM_ACTIVE, uuid)) == 2

    wait_for(both, "a window of each instance")
    assert node.family(c.GPU_MIG_SM_ACTIVE, uuid) == {"MIG-a": 0.88, "MIG-b": 0.88}
    assert node.family(c.GPU_MIG_TENSOR_ACTIVE, uuid) == {"MIG-a": 0.365, "MIG-b": 0.365}
    assert node.family(c.GPU_MIG_DRAM_BANDWIDTH, uuid) == {"MIG-a": 0.6425, "MIG-b": 0.6425}
    assert node.family(c.GPU_MIG_SM_OCCUPANCY, uuid) == {"MIG-a": 0.41, "MIG-b": 0.41}
    assert node.family(c.GPU_MIG_GRAPHICS_ACTIVE, uuid) == {"MIG-a": 0.95, "MIG-b": 0.95}
    assert node.family(c.GPU_MIG_SM_ACTIVE, fake.uuid(1)) == {}
    # Split again: another instance has the number of the one before, and none of its window.
    fake.slice(0, 0, "MIG-c", LARGE, 2, (42 * 10**9, 0))
    node.scrape()
    assert set(node.family(c.GPU_MIG_SM_ACTIVE, uuid)) == {"MIG-b"}
    wait_for(both, "a window of the new instance")
    assert set(node.family(c.GPU_MIG_SM_ACTIVE, uuid)) == {"MIG-b", "MIG-c"}


def test_a_gpu_without_gpm_has_instances_with_memory_alone(fake: FakeNvml, node: Node) -> None:
    fake.set(0, gpm_supported=0)
    fake.slice(0, 0, "MIG-a", LARGE, 2, (42 * 10**9, 30 * 10**9))
    for _ in range(2):
        node.scrape()
    assert node.family(c.GPU_MIG_MEMORY_USED, fake.uuid(0)) == {"MIG-a": 30 * 10**9}
    assert node.family(c.GPU_MIG_SM_ACTIVE, fake.uuid(0)) == {}
    assert node.up() == [1] * 8

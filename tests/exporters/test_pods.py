"""Which pod has which GPU: from a kubelet's socket, or from the processes' cgroups and mounts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet import FakeKubelet, claimed, container, pod
from plimsoll.exporters.gpu_assignment import GpuProcess, MigInstance
from plimsoll.exporters.kubernetes.cgroups import container_of
from plimsoll.exporters.kubernetes.kubelet import Container, KubeletError, devices
from plimsoll.exporters.kubernetes.pods import Instance, Pods
from plimsoll.exporters.kubernetes.protobuf import fields
from plimsoll.slo import metrics as c

GPU = {"uuid": "GPU-a", "pci_bus_id": "00000000:21:00.0"}
ID, UID = "4f" * 32, "0a1b2c3d-1111-2222-3333-445566778899"


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[FakeKubelet]:
    fake = FakeKubelet(tmp_path / "kubelet.sock")
    yield fake
    fake.close()


def joined(pods: Pods, *mig: str, processes: tuple[GpuProcess, ...] = ()) -> set[tuple[str, ...]]:
    """MIG instance, namespace, pod and container of each."""
    instances: dict[int | None, Instance] = {number: MigInstance(uuid, None) for number, uuid in enumerate(mig)}
    points = pods.points(GPU, mig, processes, instances)
    assert all(point.metric is c.GPU_POD and point.labels["uuid"] == "GPU-a" for point in points)
    return {tuple(point.labels[name] for name in ("mig_uuid", "namespace", "pod", "container")) for point in points}


def asked(tmp_path: Path) -> Pods:
    """Pods as after the kubelet's answer."""
    found = Pods(tmp_path / "kubelet.sock", tmp_path / "proc", tmp_path / "information")
    found.ask()
    return found


@pytest.mark.parametrize("id", ["GPU-a", "GPU-a::3", "0000:21:00.0"])
def test_a_device_is_joined_by_its_uuid_a_shared_one_too_or_by_its_place(
    tmp_path: Path, kubelet: FakeKubelet, id: str
) -> None:
    kubelet.pods = [
        pod(
            "serving",
            "vllm-0",
            container("engine", "nvidia.com/gpu", "GPU-b", id),
            container("proxy", "vendor/nic", id),
        ),
        pod("other", "vllm-1", container("engine", "nvidia.com/gpu", "GPU-c")),
    ]
    assert joined(asked(tmp_path)) == {("", "serving", "vllm-0", "engine")}
    assert kubelet.calls == ["/v1.PodResourcesLister/List"]


def test_two_pods_that_share_a_gpu_are_both_named(tmp_path: Path, kubelet: FakeKubelet) -> None:
    kubelet.pods = [pod("a", f"p{n}", container("c", "nvidia.com/gpu.shared", f"GPU-a::{n}")) for n in (0, 1)]
    assert joined(asked(tmp_path)) == {("", "a", "p0", "c"), ("", "a", "p1", "c")}


def test_a_mig_instance_has_its_own_pod(tmp_path: Path, kubelet: FakeKubelet) -> None:
    kubelet.pods = [pod("a", "p", container("c", "nvidia.com/mig-3g.40gb", "MIG-x"))]
    assert joined(asked(tmp_path), "MIG-x", "MIG-y") == {("MIG-x", "a", "p", "c")}


@pytest.mark.parametrize("device", ["gpu-3", "nvidia3"])
def test_a_device_named_by_its_minor_number_is_joined_by_the_drivers_list(
    tmp_path: Path, kubelet: FakeKubelet, device: str
) -> None:
    place = tmp_path / "information" / "0000:21:00.0"
    place.mkdir(parents=True)
    (place / "information").write_text("Model: \t\t H100\nDevice Minor: \t 3\n")
    kubelet.pods = [pod("a", "p", claimed("c", "gpu.nvidia.com", device))]
    assert joined(asked(tmp_path)) == {("", "a", "p", "c")}


def test_many_pods_arrive_whole(tmp_path: Path, kubelet: FakeKubelet) -> None:
    kubelet.pods = [pod("n" * 60, f"p{n}", container("c", "nvidia.com/gpu", f"GPU-{n}")) for n in range(3000)]
    found = devices(tmp_path / "kubelet.sock", 10)
    assert len(found) == 3000
    assert found[-1].container == Container("n" * 60, "p2999", "c")


def test_the_last_answer_holds_when_the_kubelet_fails(
    tmp_path: Path, kubelet: FakeKubelet, caplog: pytest.LogCaptureFixture
) -> None:
    kubelet.pods = [pod("a", "p", container("c", "nvidia.com/gpu", "GPU-a"))]
    pods = asked(tmp_path)
    kubelet.status = 12  # UNIMPLEMENTED
    for _ in range(2):
        pods.ask()
    assert joined(pods) == {("", "a", "p", "c")}
    assert sum("gRPC status 12" in record.getMessage() for record in caplog.records) == 1


def test_what_is_no_kubelet_is_an_error_of_one_line(tmp_path: Path, kubelet: FakeKubelet) -> None:
    kubelet.pods = [b"\x0a\xff\xff\xff\xff\x0f"]  # a message longer than what follows
    with pytest.raises(KubeletError, match="cut"):
        devices(tmp_path / "kubelet.sock", 10)
    with pytest.raises(OSError, match="No such file"):
        devices(tmp_path / "absent.sock", 10)


@pytest.mark.parametrize("message", [b"\x0a", b"\x0a\x05ab", b"\x07", b"\x80" * 11, b"\x09\x00"])
def test_a_broken_message_is_an_error(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"cut|wire type"):
        fields(message)


def process(proc: Path, pid: int, cgroup: str, mounts: str = "") -> None:
    place = proc / str(pid)
    (place / "root" / "etc").mkdir(parents=True)
    (place / "cgroup").write_text(cgroup)
    (place / "mountinfo").write_text(mounts)


@pytest.mark.parametrize(
    "cgroup",
    [
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice/cri-containerd-{ID}.scope\n",
        f"12:devices:/kubepods/besteffort/pod{UID}/{ID}\n1:name=systemd:/kubepods/besteffort/pod{UID}/{ID}\n",
    ],
)
def test_without_the_kubelet_a_process_names_its_pod(tmp_path: Path, cgroup: str) -> None:
    mounts = f"900 880 253:1 /var/lib/kubelet/pods/{UID}/containers/engine/1a2b3c /dev/termination-log rw - ext4 /dev/sda1 rw\n"
    process(tmp_path, 40, cgroup, mounts)
    root = tmp_path / "40" / "root"
    (root / "etc" / "hostname").write_text("vllm-0\n")
    secret = root / "var" / "run" / "secrets" / "kubernetes.io" / "serviceaccount"
    secret.mkdir(parents=True)
    (secret / "namespace").write_text("serving")
    pods = Pods(tmp_path / "absent.sock", tmp_path)
    assert joined(pods, processes=(GpuProcess(40, None),)) == {("", "serving", "vllm-0", "engine")}
    assert joined(pods, "MIG-x", processes=(GpuProcess(40, None, 0),)) == {("MIG-x", "serving", "vllm-0", "engine")}


def test_a_pod_whose_files_are_not_readable_keeps_its_uid(tmp_path: Path) -> None:
    process(tmp_path, 40, f"0::/kubepods/pod{UID}/{ID}\n")
    assert container_of(40, tmp_path) == Container("", UID, "")


def test_outside_kubernetes_a_container_has_its_short_id_and_a_plain_process_has_none(tmp_path: Path) -> None:
    process(tmp_path, 40, f"0::/system.slice/docker-{ID}.scope\n")
    process(tmp_path, 41, "0::/user.slice/user-0.slice/session-1.scope\n")
    assert container_of(40, tmp_path) == Container("", "", ID[:12])
    assert container_of(41, tmp_path) is None
    assert container_of(42, tmp_path) is None

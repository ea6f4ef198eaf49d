"""What a pod's object states of the engine in it: its place, its workload, and its group. No further request is needed.

Labels are named as dcgm-exporter names them (`namespace`, `pod`, `container`), and the rest after OpenTelemetry's attributes.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from plimsoll.exporters.collector import Point
from plimsoll.slo import metrics

GPUS = ("nvidia.com/gpu", "amd.com/gpu", "nvidia.com/mig-")
_LWS = "leaderworkerset.sigs.k8s.io"
# The label with the hash at the end of a ReplicaSet's name, and what owns that ReplicaSet.
_HASHES = {"pod-template-hash": "Deployment", "rollouts-pod-template-hash": "Rollout"}


class Member(NamedTuple):
    """A pod's place in a group of pods that serves as one replica: the group's name, its number (0 leads), and the pods needed."""

    group: str
    number: str
    size: int


class PodIdentity(NamedTuple):
    """Where an engine runs. What isn't known is an empty string."""

    namespace: str
    pod: str
    container: str = ""
    node: str = ""
    workload: str = ""
    workload_kind: str = ""
    group: str = ""

    @property
    def of_series(self) -> dict[str, str]:
        """The labels that every series of the replica has, so that pools can match by them."""
        values = zip(metrics.POD_LABELS, (self.namespace, self.workload), strict=True)
        return {name: value for name, value in values if value}

    def info(self, replica: str) -> Point:
        """Return the series that identifies a replica's pod."""
        return Point(metrics.REPLICA_POD, {"replica": replica, **self._asdict()}, 1.0)


def identity_of(pod: Mapping[str, Any], port: int) -> PodIdentity:
    """Return the identity of the engine at a port of a pod."""
    about, spec = pod["metadata"], pod["spec"]
    labels, member = about.get("labels") or {}, member_of(pod)
    kind, workload = _workload(about, labels)
    return PodIdentity(
        about["namespace"],
        about["name"],
        _container(spec["containers"], port),
        spec.get("nodeName", ""),
        workload,
        kind,
        member.group if member else "",
    )


def member_of(pod: Mapping[str, Any]) -> Member | None:
    """Return a pod's place in its LeaderWorkerSet group; None for a pod that serves alone."""
    labels, notes = (pod["metadata"].get(part) or {} for part in ("labels", "annotations"))
    name, group, number = (labels.get(f"{_LWS}/{part}", "") for part in ("name", "group-index", "worker-index"))
    size = notes.get(f"{_LWS}/size", "")
    if not (name and group and number) or not size.isdecimal() or int(size) < 2:
        return None
    return Member(f"{name}-{group}", number, int(size))


def _workload(about: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[str, str]:
    """Return kind and name of what an operator scales: the owner, or what owns a ReplicaSet of that name."""
    if name := labels.get(f"{_LWS}/name"):
        return "LeaderWorkerSet", name
    owner = next((one for one in about.get("ownerReferences") or () if one.get("controller")), None)
    if owner is None:
        return "", ""
    kind, name = owner["kind"], owner["name"]
    for label, above in _HASHES.items():
        end = f"-{labels.get(label, '')}"
        if kind == "ReplicaSet" and len(end) > 1 and name.endswith(end):
            return above, name.removesuffix(end)
    return kind, name


def _container(containers: Iterable[Mapping[str, Any]], port: int) -> str:
    """Return the container that declares the port, or else the one with a GPU, or the first."""
    every = list(containers)
    declares = [
        one["name"] for one in every if any(each.get("containerPort") == port for each in one.get("ports") or ())
    ]
    return str(next(iter([*declares, *(one["name"] for one in every if has_gpu(one)), every[0]["name"]])))


def has_gpu(container: Mapping[str, Any]) -> bool:
    """Return whether a container asks for a GPU."""
    wanted = (container.get("resources") or {}).get("limits") or {}
    return any(name.startswith(GPUS) for name in wanted)


class Identified:
    """Adds a pod's labels to the points of its replicas: the same object for the same one, as formatting needs it."""

    def __init__(self, pod: PodIdentity) -> None:
        self.labels = pod.of_series
        self._pod = pod
        self._known: dict[int, tuple[Mapping[str, str], Mapping[str, str]]] = {}

    def __call__(self, points: Iterable[Point]) -> list[Point]:
        """Return the points with the labels, and each replica's pod."""
        known: dict[int, tuple[Mapping[str, str], Mapping[str, str]]] = {}
        found: list[Point] = []
        for point in points:
            key = id(point.labels)  # of an object that is in `known`, so that no other one has it
            pair = known.get(key) or self._known.get(key)
            if pair is None or pair[0] is not point.labels:
                pair = point.labels, {**point.labels, **self.labels}
            known[key] = pair
            found.append(point._replace(labels=pair[1]))
            if point.metric is metrics.REPLICA_UP:
                found.append(self._pod.info(point.labels["replica"]))
        self._known = known
        return found

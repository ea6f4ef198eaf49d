"""Pods of this node that are members of a group: pods over several nodes that serve as one replica, and stop with any of them.

Each node's exporter reports its own members, and rules join them with the replica, which is on the page of the leader's node.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from plimsoll.exporters.collector import CollectorError, Point
from plimsoll.exporters.kubernetes.identity import member_of
from plimsoll.slo import metrics


class GroupMembers:
    """The members in the last list of pods. While lists can't be read, the last one holds, and the collector fails."""

    name = "groups"

    def __init__(self) -> None:
        self.fallback: Sequence[Point] = ()
        self._problem = ""

    def see(self, pods: Iterable[Mapping[str, Any]]) -> None:
        """Take a list of pods; raises LookupError, TypeError or AttributeError for one that is none."""
        up: list[Point] = []
        sizes: dict[tuple[str, str], float] = {}
        for pod in pods:
            member, about = member_of(pod), pod["metadata"]
            if member is None:
                continue
            sizes[about["namespace"], member.group] = member.size
            labels = {"namespace": about["namespace"], "group": member.group, "member": member.number}
            labels |= {"pod": about["name"], "node": pod["spec"].get("nodeName", "")}
            up.append(Point(metrics.MEMBER_UP, labels, float(_is_ready(pod))))
        size = [
            Point(metrics.GROUP_SIZE, {"namespace": namespace, "group": group}, value)
            for (namespace, group), value in sizes.items()
        ]
        self.fallback, self._problem = (*up, *size), ""

    def failed(self, why: str) -> None:
        """Note that the list couldn't be read."""
        self._problem = why

    def collect(self, _deadline: float) -> Iterable[Point]:
        """Return the members; raises CollectorError while the list can't be read."""
        if self._problem:
            raise CollectorError(self._problem)
        return self.fallback


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    ready = any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")

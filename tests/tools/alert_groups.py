"""What Alertmanager makes of alerts: routes, groups, and inhibition of a configuration, applied to when each alert fires.

Alertmanager can't be accelerated a thousand times, and a month of alerts is to be judged; `tests/alerts/test_alerts_routing.py` and the incident
replay send alerts through the real one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from time_compression import seconds

_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"(.*)"')
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Firing:
    """One alert that fires from `start` until before `end`, in seconds."""

    labels: Labels
    start: float
    end: float

    def at(self, moment: float) -> bool:
        """Return whether it fires at a moment."""
        return self.start <= moment < self.end


@dataclass
class Notification:
    """One notification to a receiver: of a group from its first message to the message that all of it is resolved."""

    receiver: str
    group: Labels
    opened: float
    alerts: set[str] = field(default_factory=set)
    closed: float | None = None


def notifications(config: Mapping[str, Any], firings: Sequence[Firing]) -> list[Notification]:
    """Return the notifications in order of time, without those of the watchdog and of the null receiver."""
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], tuple[Mapping[str, Any], list[Firing]]] = {}
    for one in firings:
        route = _route(config["route"], one.labels)
        key = tuple((name, one.labels.get(name, "")) for name in route["group_by"])
        groups.setdefault((route["receiver"], key), (route, []))[1].append(one)
    found = [
        sent
        for (receiver, key), (route, members) in groups.items()
        if receiver not in ("null", "watchdog")
        for sent in _of_group(config, receiver, dict(key), route, members, firings)
    ]
    return sorted(found, key=lambda one: one.opened)


def _of_group(
    config: Mapping[str, Any],
    receiver: str,
    key: Labels,
    route: Mapping[str, Any],
    members: Sequence[Firing],
    firings: Sequence[Firing],
) -> Iterable[Notification]:
    wait, interval = seconds(route["group_wait"]), seconds(route["group_interval"])
    moment, sent, notified = min(one.start for one in members) + wait, None, set[int]()
    while True:
        now = {index for index, one in enumerate(members) if one.at(moment)}
        loud = {index for index in now - notified if not _inhibited(config, members[index], firings, moment)}
        if loud and sent is None:
            sent = Notification(receiver, key, moment)
        if sent is not None:
            notified |= loud
            sent.alerts |= {members[index].labels["alertname"] for index in loud}
            if not now & notified:
                sent.closed = moment
                yield sent
                sent, notified = None, set()
        if now:
            moment += interval
        elif later := [one.start for one in members if one.start > moment]:
            moment = min(later) + wait
        else:
            return


def _inhibited(config: Mapping[str, Any], target: Firing, firings: Sequence[Firing], moment: float) -> bool:
    return any(
        _matches(rule["target_matchers"], target.labels)
        and any(
            source.at(moment)
            and source is not target
            and _matches(rule["source_matchers"], source.labels)
            and all(source.labels.get(name, "") == target.labels.get(name, "") for name in rule["equal"])
            for source in firings
        )
        for rule in config["inhibit_rules"]
    )


def _route(route: Mapping[str, Any], labels: Labels) -> Mapping[str, Any]:
    """Return the first route below that matches, with what it inherits, or the route itself."""
    for below in route.get("routes", []):
        if _matches(below["matchers"], labels):
            return _route({**route, "routes": [], **below}, labels)
    return route


def _matches(matchers: Iterable[str], labels: Labels) -> bool:
    return all(_match(one, labels) for one in matchers)


def _match(matcher: str, labels: Labels) -> bool:
    found = _MATCHER.fullmatch(matcher)
    assert found, matcher
    name, operator, value = found.groups()
    given = labels.get(name, "")
    same = re.fullmatch(value, given) is not None if "~" in operator else given == value
    return same is not operator.startswith("!")

"""Change events to PagerDuty, which shows them beside its incidents: rollouts, engine versions, exclusions, and scaling of pools.

By PagerDuty's Events API v2, `/v2/change/enqueue`. A change event opens no incident, so one that PagerDuty doesn't accept is
dropped after some attempts, and counted.
"""

import json
import logging
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.manual_changes import ANNOUNCED, audit_events_within
from plimsoll.slo.sli.rollouts import Rollout

if TYPE_CHECKING:
    from plimsoll.slo.service.state import Service

log = logging.getLogger("plimsoll.service")
SOURCE = "plimsoll"
TIMEOUT_SECONDS = 5.0
MOST_ATTEMPTS = 5  # of one event, one at each look
MOST_WAITING = 100  # events; the oldest is dropped first
LONGEST_SUMMARY = 1024  # characters, by PagerDuty's reference
OVERLAP = 60.0  # seconds before the last look that are read again: another service's clock may be behind
RECENT = 600.0  # seconds: a version seen so long before this service started isn't a change
OUTCOMES = ("sent", "failed", "dropped")


@dataclass(slots=True)
class Change:
    """What changed, when (Unix seconds), and how often sending it failed."""

    at: float
    summary: str
    details: Mapping[str, Any]
    attempts: int = 0

    def event(self, key: str) -> dict[str, Any]:
        """Return the body of the request, in PagerDuty's format."""
        payload = {"summary": self.summary[:LONGEST_SUMMARY], "timestamp": rfc3339(self.at), "source": SOURCE}
        return {"routing_key": key, "payload": payload | {"custom_details": dict(self.details)}}


class ChangeEvents:
    """Finds what changed since it last looked, and sends it. What changed while no service ran is not sent."""

    def __init__(self, key: str, url: str) -> None:
        """`key` is the integration key of a PagerDuty service (Events API v2), `url` its address for change events."""
        self.outcomes: Counter[str] = Counter()
        self._key, self._url = key, url
        self._waiting: deque[Change] = deque()
        self._began: float | None = None
        self._looked = 0.0
        self._known: dict[tuple[object, ...], float] = {}  # what was found in the ledger, and when
        self._rollouts: dict[str, Rollout] = {}
        self._recommended: dict[str, int | None] = {}
        self._nodes: dict[str, tuple[int, int]] = {}  # of each pool, as sent and as last seen
        self._last_error = ""

    def look(self, service: "Service") -> None:
        """Find what changed; send it where this service leads. Raises SQLAlchemyError; a failure of PagerDuty only counts."""
        now = service.clock()
        if self._began is None:
            self._began = self._looked = now
        since = max(self._began, self._looked - OVERLAP)
        found = [
            *(change for key, change in _of_ledger(service, since, now) if self._is_new(key, now)),
            *self._versions(service, self._began - RECENT),
            *self._scaling(service, now),
        ]
        self._looked = now
        if service.leading:
            self._waiting.extend(found)
            self._send()
        else:
            self._waiting.clear()  # the leader sends them

    def _is_new(self, key: tuple[object, ...], now: float) -> bool:
        self._known = {one: at for one, at in self._known.items() if abs(now - at) <= 2 * RECENT}
        return self._known.setdefault(key, now) == now

    def _versions(self, service: "Service", since: float) -> Iterator[Change]:
        for pool, watch in service.rollouts.items():
            if (standing := watch.current) is None or self._rollouts.get(pool) == standing.rollout:
                continue
            self._rollouts[pool] = found = standing.rollout
            if found.since >= since:
                details = {"pool": pool, "from_version": found.baseline, "to_version": found.candidate}
                yield Change(found.since, f"{pool}: {found.candidate} serves beside {found.baseline}", details)

    def _scaling(self, service: "Service", now: float) -> Iterator[Change]:
        """Yield new recommendations to scale, and numbers of nodes that held for two looks."""
        for pool in service.spec.pools:
            found = service.recommendation(pool.name)
            name, recommended, nodes = pool.name, found.recommended_nodes, found.current_nodes
            if recommended is None or nodes is None:
                continue
            details = {"pool": name, "nodes": nodes, "recommended_nodes": recommended, "action": found.action}
            if self._recommended.get(name, recommended) != recommended != nodes:
                yield Change(now, f"{name}: {recommended} nodes recommended, {nodes} serve", details)
            self._recommended[name] = recommended
            sent, seen = self._nodes.get(name, (nodes, nodes))
            if nodes == seen != sent:
                yield Change(now, f"{name}: {nodes} nodes serve, {sent} before", details)
                sent = nodes
            self._nodes[name] = sent, nodes

    def _send(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            self._drop()
        with httpx.Client(timeout=TIMEOUT_SECONDS) as client:
            while self._waiting and self._attempt(client, self._waiting[0]):
                pass

    def _attempt(self, client: httpx.Client, change: Change) -> bool:
        """Send a change; return whether to go on with the next one."""
        try:
            client.post(self._url, json=change.event(self._key)).raise_for_status()
        except httpx.HTTPError as error:
            status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else None
            self._failed(f"it returned {status}" if status else type(error).__name__)
            change.attempts += 1
            # PagerDuty's reference: 400 is an invalid event, 429 and 5xx are to be tried again.
            if status == httpx.codes.BAD_REQUEST or change.attempts >= MOST_ATTEMPTS:
                self._drop()
                return status == httpx.codes.BAD_REQUEST
            return False
        self._waiting.popleft()
        self.outcomes["sent"] += 1
        self._last_error = ""
        return True

    def _failed(self, why: str) -> None:
        self.outcomes["failed"] += 1
        if why != self._last_error:
            log.error("change event to %s failed: %s", httpx.URL(self._url).host, why)
        self._last_error = why

    def _drop(self) -> None:
        self._waiting.popleft()
        self.outcomes["dropped"] += 1


def _of_ledger(service: "Service", since: float, now: float) -> Iterator[tuple[tuple[object, ...], Change]]:
    """Yield the rollouts announced and the exclusions that began in [since, now), each with its identity."""
    for row in audit_events_within(service.ledger.engine, since, now):
        if row["action"] == ANNOUNCED:
            yield (row["id"],), _announced(row)
    for one in service.records.exclusions():
        begins = max(one.start, one.created_at or one.start)
        if since <= begins < now < one.end and one.canceled_at is None:
            scope = one.objective or one.pool or "all SLOs"
            details = {"created_by": one.created_by, "reason": one.reason, "to": rfc3339(one.end)}
            yield (
                (one.id, one.start, scope, one.reason),
                Change(begins, f"Exclusion of {scope} began: {one.reason}", details),
            )


def _announced(row: Mapping[str, Any]) -> Change:
    rollout = json.loads(row["after"])
    details = {name: rollout[name] for name in ("pool", "version", "created_by", "reason", "max_unavailable")}
    summary = f"{rollout['pool']}: rollout of {rollout['version']} began: {rollout['reason']}"
    return Change(rollout["start"], summary, details | {"to": rfc3339(rollout["end"])})

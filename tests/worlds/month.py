"""A simulated month of a fleet of 20 replicas: what happens to a healthy fleet, and ten real incidents.

Four pools: chat (11 replicas by day, 8 by night, a warm spare), code, batch (a long queue by night), and one that scales to zero.
Every week has rollouts, reboots, or lost spot nodes. SIMULATED: counters and gauges follow arrays of states, not engines.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

import month_series
from month_pool import DAY, HOUR, WEEK, MonthPool, Plan
from month_series import Line
from plimsoll.slo.spec.objectives import Spec, load

SEED, DAYS = 16, 28
LEAD = WEEK  # minutes of the same traffic before the month, so that rules know the past
CHAT = Plan("chat", replicas=12, per_minute=60, by_night=8, spares=1)
CODE = Plan(
    "code", replicas=4, per_minute=30, by_night=4, night=0.15, medians={"ttft": 0.17, "tpot": 0.011, "duration": 1.5}
)
BATCH = Plan("batch", replicas=2, per_minute=20, by_night=2, night=0.4, weekend=1.0, batch=True)
EVAL = Plan("eval", replicas=2, per_minute=20, by_night=0, office_hours=(9, 17))
PLANS = (CHAT, CODE, BATCH, EVAL)
_NODE = "node: {gpu: H100-80GB, gpus: 2, hourly_usd: 4}, timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}"
OBJECTIVES = f"""version: plimsoll/v1
pools:
  - {{name: chat, model: org/chat, {_NODE}, nodes: {{min: 8, max: 16, warm_spares: 1}}, max_usd_per_million_tokens: 2}}
  - {{name: code, model: org/code, {_NODE}, nodes: {{min: 3, max: 8}}}}
  - {{name: batch, model: org/batch, {_NODE}, nodes: {{min: 1, max: 4}}, kind: batch}}
  - {{name: eval, model: org/eval, {_NODE}, nodes: {{min: 0, max: 4}}}}
objectives:
  - {{id: chat-ttft, pool: chat, indicator: {{time_to_first_token: 600ms}}, target: 95%, window: 28d}}
  - {{id: chat-tpot, pool: chat, indicator: {{time_per_output_token: 40ms}}, target: 95%, window: 28d}}
  - {{id: chat-availability, pool: chat, indicator: availability, target: 99.9%, window: {{calendar: month, timezone: UTC}}}}
  - {{id: code-ttft, pool: code, indicator: {{time_to_first_token: 1s}}, target: 99%, window: 28d}}
  - {{id: code-availability, pool: code, indicator: availability, target: 99.5%, window: 28d}}
  - {{id: batch-availability, pool: batch, indicator: availability, target: 99%, window: 28d}}
  - {{id: eval-ttft, pool: eval, indicator: {{time_to_first_token: 600ms}}, target: 95%, window: 7d}}
"""
# What happens to a healthy fleet: pool, first replica, day, hour.
ROLLOUTS = (("chat", 0, 1, 10.0), ("code", 0, 8, 14.0), ("chat", 0, 15, 10.5), ("batch", 0, 17, 11.0))
REBOOTS = (
    ("chat", 2, 3, 2.5),
    ("code", 1, 9, 11.0),
    ("batch", 1, 12, 4.0),
    ("chat", 5, 20, 3.0),
    ("code", 2, 26, 22.0),
)
SPOT_LOSSES = tuple(
    ("chat", replica, day, hour)
    for replica, day, hour in ((7, 2, 15.2), (3, 5, 12.0), (9, 10, 17.5), (6, 18, 9.4), (1, 21, 3.3), (8, 25, 14.1))
)
REBOOT, NEW_NODE, ROLLOUT_STEP = 12, 25, 6  # minutes


@dataclass(frozen=True)
class Incident:
    """A real incident: when it begins and how long it lasts, in minutes, and what it does to a pool (or to all)."""

    name: str
    begins: int
    lasts: int
    pool: str
    does: Callable[[MonthPool, slice], None]

    @property
    def span(self) -> slice:
        """Its samples: each has what happened in the minute before it."""
        return slice(self.begins + 1, self.begins + 1 + self.lasts)


def _all_fail(pool: MonthPool, span: slice) -> None:
    pool.failed[:, span] = 1.0


def _half_late(pool: MonthPool, span: slice) -> None:
    pool.late[:, span] = 0.5


def _engines_down(pool: MonthPool, span: slice) -> None:
    pool.engine[:, span] = False


def _gpus_lost(pool: MonthPool, span: slice) -> None:
    """Two nodes at once, by night: one more than the pool's size above its minimum."""
    for replica in (1, 4):
        pool.gpu[replica, span] = pool.engine[replica, span] = False
        pool.xids[replica] = span.start


def _overload(pool: MonthPool, span: slice) -> None:
    """A queue grows faster than nodes can be added; almost a third of the first tokens are late."""
    length = span.stop - span.start
    pool.demand[span] *= 1.8
    pool.queued[: -pool.plan.spares, span] = np.minimum(np.arange(length) * 12, 150)
    pool.late[:, span] = np.minimum(np.arange(length) * 0.05, 0.3)


def _hung(pool: MonthPool, span: slice) -> None:
    pool.stalled[2, span] = True
    pool.queued[2, span] = np.minimum(np.arange(span.stop - span.start) * 15, 100)


def _no_traffic(pool: MonthPool, span: slice) -> None:
    pool.demand[span] = 0


def _slower_version(pool: MonthPool, span: slice) -> None:
    """A rollout, replica by replica; the new version's first tokens are late for a quarter of the requests, until it is rolled back."""
    for replica in range(pool.plan.replicas):
        pool.restarted(replica, span.start + replica * ROLLOUT_STEP)
        pool.late[replica, span.start + replica * ROLLOUT_STEP : span.stop] = 0.25
        pool.restarted(replica, span.stop + replica * ROLLOUT_STEP)


def _transfers_fail(pool: MonthPool, span: slice) -> None:
    pool.transfers_failed[:, span], pool.failed[:, span] = 0.5, 0.5


def _exporters_gone(pool: MonthPool, span: slice) -> None:
    pool.exporter[:, span] = False


def at(day: int, hour: float) -> int:
    """Return the minute of a day (from 0, a Monday) and hour of the month."""
    return LEAD + day * DAY + round(hour * HOUR)


INCIDENTS = (
    Incident("All requests fail", at(2, 10.5), 25, "chat", _all_fail),
    Incident("Half of the first tokens late", at(4, 14.2), 40, "code", _half_late),
    Incident("All engines of a pool down", at(7, 9.3), 25, "code", _engines_down),
    Incident("GPUs lost beyond the redundancy", at(9, 3.25), 60, "chat", _gpus_lost),
    Incident("Overload, queue grows", at(10, 11.0), 40, "chat", _overload),
    Incident("One replica hangs", at(14, 15.75), 25, "chat", _hung),
    Incident("Traffic stops", at(16, 13.0), 35, "chat", _no_traffic),
    Incident("New version with late first tokens", at(18, 10.0), 120, "code", _slower_version),
    Incident("KV cache transfers fail", at(22, 16.0), 30, "chat", _transfers_fail),
    Incident("All exporters unreachable", at(24, 11.5), 30, "", _exporters_gone),
)


def spec() -> Spec:
    """Return the objectives of the fleet."""
    return load(OBJECTIVES)


def given(days: int = DAYS, incidents: Sequence[Incident] = (), seed: int = SEED) -> list[Line]:
    """Return every series of so many days, and of the week before them."""
    minutes = LEAD + days * DAY
    pools = [MonthPool(plan, minutes, np.random.default_rng([seed, index])) for index, plan in enumerate(PLANS)]
    by_name = {pool.plan.name: pool for pool in pools}
    _healthy_events(by_name, minutes)
    silent = np.zeros(minutes, bool)
    for one in incidents:
        silent[one.span] |= not one.pool
        for pool in [by_name[one.pool]] if one.pool else pools:
            one.does(pool, one.span)
    _batch_queue(by_name["batch"])
    for pool in pools:
        pool.serve()
    found = [line for pool in pools for line in month_series.of_pool(pool)]
    return [*found, *month_series.of_service(spec(), pools, silent)]


def _healthy_events(pools: dict[str, MonthPool], minutes: int) -> None:
    for name, _, day, hour in ROLLOUTS:
        for replica in range(pools[name].plan.replicas):
            if (begin := at(day, hour) + replica * ROLLOUT_STEP) < minutes:
                pools[name].restarted(replica, begin)
    for events, length, listed in ((REBOOTS, REBOOT, True), (SPOT_LOSSES, NEW_NODE, False)):
        for name, replica, day, hour in events:
            if at(day, hour) < minutes:
                pools[name].lost(replica, slice(at(day, hour), at(day, hour) + length), listed=listed)


def _batch_queue(pool: MonthPool) -> None:
    """Every evening 500 requests are queued, and served until the morning."""
    hour = (np.arange(pool.minutes) / HOUR - 20) % 24
    pool.queued += np.where(hour < 10, 250 * (1 - hour / 10), 0)

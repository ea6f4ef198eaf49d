"""A backtest: recorded traffic, a fleet, a policy by name; and what users and budget would have felt, as one object."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from plimsoll.slo.capacity.backtest.comparison import NEAR_GOODPUT, Bounds
from plimsoll.slo.capacity.policies.apa import Apa
from plimsoll.slo.capacity.policies.clairvoyant import Rush, Schedule, search
from plimsoll.slo.capacity.policies.fixed import Fixed
from plimsoll.slo.capacity.policies.hpa import HpaQueue, HpaUtilization
from plimsoll.slo.capacity.policies.keda import Keda
from plimsoll.slo.capacity.policies.plimsoll import Plimsoll
from plimsoll.slo.capacity.policies.wva import Wva
from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator import fleet
from plimsoll.slo.capacity.simulator.fleet import Outcome, Setup
from plimsoll.slo.capacity.simulator.policy import Policy
from plimsoll.slo.capacity.simulator.replay import percentile
from plimsoll.slo.capacity.simulator.traces import Arrival
from plimsoll.slo.spec.indicator import LATENCIES
from plimsoll.slo.spec.node_pricing import Node
from plimsoll.slo.spec.objectives import Nodes, Objective, Pool, Timing
from plimsoll.slo.units import Duration

OTHERS: dict[str, Callable[..., Policy]] = {
    "keda": Keda,
    "hpa-queue": HpaQueue,
    "hpa-util": HpaUtilization,
    "wva": Wva,
    "apa": Apa,
}
POLICIES = ("fixed:N", "plimsoll", *OTHERS, "clairvoyant")
PERCENT = 100
LIMITS = ((2000, 200), (1000, 100), (600, 40), (450, 40))  # milliseconds to first token and per further token
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
MILLISECONDS = 1000
HOLD = 300.0  # seconds until scale-in, as in the source documents
ENOUGH = 0.99  # of the goodput of the largest pool: what the clairvoyant schedule has to reach
PERIOD = 150.0  # seconds: its resolution

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Backtest:
    """What all policies of a comparison share. `node_usd` is the price of a node per hour, `hold` the seconds that demand must stay
    low before ours releases a node; `objectives` are evaluated besides."""

    arrivals: Sequence[Arrival]
    setup: Setup
    target: LatencyTarget
    node_usd: float
    hold: float = HOLD
    objectives: Sequence[Objective] = ()

    def run(self, name: str, progress: Progress = lambda _: None) -> dict[str, Any]:
        """Replay under a policy; raises ValueError for a name that is none."""
        return self.report(name, self.replay(name, progress))

    def replay(self, name: str, progress: Progress = lambda _: None) -> Outcome:
        """Replay under a policy; raises ValueError for a name that is none."""
        check(name)
        end = self.arrivals[-1].time or 1.0
        setup, policy = self._policy(name, progress)
        return fleet.run(self.arrivals, policy, setup, lambda now: progress(f"{min(1.0, now / end):.0%}"))

    def report(self, name: str, outcome: Outcome) -> dict[str, Any]:
        """Write an outcome as one object."""
        found = summary(name, len(self.arrivals), outcome, self.node_usd)
        found["seconds"] = round(self.arrivals[-1].time, 3)
        found["replica"] = self.setup.replica
        if self.objectives:
            found["objectives"] = {
                objective.id: {"good": round(attained(objective, outcome), 6), "target": float(objective.target)}
                for objective in self.objectives
            }
        return found

    def _policy(self, name: str, progress: Progress) -> tuple[Setup, Policy]:
        kind, _, number = name.partition(":")
        knob = (float(number),) if number else ()
        if kind == "fixed":
            return replace(self.setup, least=int(number), most=int(number)), Fixed(int(number))
        if kind == "plimsoll":
            # As of a pool that was calibrated, and exactly: the prompts that are computed are measured, so no cache is simulated.
            engine = Calibrated(self.setup.model, replace(self.setup.limits, prefix_block=0))
            target = replace(self.target, target=float(number) / PERCENT) if number else self.target
            return self.setup, Plimsoll(self._pool(), target, engine)
        return self.setup, self.clairvoyant(progress) if kind == "clairvoyant" else OTHERS[kind](*knob)

    def _pool(self) -> Pool:
        setup = self.setup
        return Pool(
            "backtest",
            "recorded",
            Node("recorded", 1, 1, self.node_usd),
            Nodes(setup.least, setup.most, setup.warm_spares),
            Timing(Duration(setup.cold_start), Duration(setup.warm_start), Duration(self.hold)),
        )

    def goodput(self, policy: Policy) -> float:
        """Share of all requests within the latency target under a policy."""
        return fleet.run(self.arrivals, policy, self.setup).result.goodput(self.target.ttft, self.target.tpot)

    def bounds(self, best: Schedule, goodput: float) -> Bounds:
        """Return the advantage of the clairvoyant schedule `best` by components; `goodput` is its goodput."""
        fleets = (self._constant(count) for count in range(self.setup.least, self.setup.most + 1))
        return Bounds(
            rush=self.goodput(Rush(self.setup.most)),
            late=self.goodput(Schedule(best.nodes, best.period, 0.0)),
            constant=next((hours for good, hours in fleets if good >= NEAR_GOODPUT * goodput), None),
        )

    def _constant(self, count: int) -> tuple[float, float]:
        """Goodput and node-hours of a fleet that never changes."""
        found = fleet.run(self.arrivals, Fixed(count), replace(self.setup, least=count, most=count))
        return found.result.goodput(self.target.ttft, self.target.tpot), found.node_hours

    def clairvoyant(self, progress: Progress = lambda _: None) -> Schedule:
        """Search for the cheapest schedule that serves nearly as many requests well as the largest pool would."""
        tries = 0

        def goodput(policy: Policy) -> float:
            nonlocal tries
            tries += 1
            progress(f"searching, {tries} schedules tried")
            return self.goodput(policy)

        enough = ENOUGH * goodput(Fixed(self.setup.most))
        return search(
            self.arrivals[-1].time,
            PERIOD,
            self.setup.cold_start,
            range(self.setup.least, self.setup.most + 1),
            lambda schedule: goodput(schedule) >= enough,
        )


def check(name: str) -> None:
    """Raise ValueError unless there is a policy of that name."""
    kind, colon, number = name.partition(":")
    if kind == "fixed":
        known = number.isdecimal() and int(number) > 0
    elif kind == "plimsoll":
        known = not colon or 0 < _number(number) < PERCENT
    else:
        known = name in POLICIES or (kind in OTHERS and 0 < _number(number) < inf)
    if not known:
        raise ValueError(f"policy {name!r}: known are {', '.join(POLICIES)}")


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def attained(objective: Objective, outcome: Outcome) -> float:
    """Share of all requests that an objective would have called good; of availability, those that were served."""
    return outcome.result.goodput(*(objective.indicator.thresholds.get(latency, inf) for latency in LATENCIES))


def summary(name: str, requests: int, outcome: Outcome, node_usd: float) -> dict[str, Any]:
    """Write an outcome as one object: latencies in milliseconds, of requests that have one; goodput of all requests."""
    result = outcome.result

    def quantiles(values: list[float]) -> dict[str, float | None]:
        found = {key: percentile(values, share) for key, share in SHARES.items()}
        return {key: None if value is None else round(value * MILLISECONDS, 3) for key, value in found.items()}

    return {
        "policy": name,
        "requests": requests,
        "ttft_ms": quantiles(result.ttft),
        "tpot_ms": quantiles(result.tpot),
        "goodput": {
            f"{ttft}/{tpot}": round(result.goodput(ttft / MILLISECONDS, tpot / MILLISECONDS), 6)
            for ttft, tpot in LIMITS
        },
        "preemptions": result.preemptions,
        "node_hours": round(outcome.node_hours, 4),
        "cost_usd": round(outcome.node_hours * node_usd, 2),
        "scale_events": outcome.scale_events,
        "flaps": outcome.direction_changes,
        "most_nodes": outcome.most_nodes,
        "max_queue": result.max_queue,
        "seconds_queued": outcome.seconds_queued,
        "rejected": outcome.rejected,
        "lost": outcome.lost,
    }

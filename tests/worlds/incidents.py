"""Incidents as data: `tests/fixtures/incidents/*.yaml`, one pool each, and the counters and gauges of its replicas.

A replica is in its normal `State` except in the stretches that a file lists. Rates are constant within a stretch, so every
counter has an exact integral, and every SLO a ground truth: its good and total requests between any two times.
Time is in simulated seconds; the run starts at 0 and history is negative.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import yaml

from paths import FIXTURES
from plimsoll.slo import metrics as c
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.spec.objectives import Objective, Spec, load

FOLDER = FIXTURES / "incidents"
MINUTE = 60.0
HISTORY = 3 * 86400.0  # seconds of normal traffic before the run: the longest alert window
OBJECTIVES = {
    "ttft": "indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d",
    "tpot": "indicator: {time_per_output_token: 40ms}, target: 95%, window: 28d",
    "e2e": "indicator: {request_duration: 4s}, target: 95%, window: 28d",
    "up": "indicator: availability, target: 99.9%, window: {calendar: month, timezone: UTC}",
    "batch": "indicator: availability, target: 90%, window: 28d",
}


@dataclass(frozen=True)
class State:
    """State of one replica: rates per second, ratios of requests, gauges. The defaults are normal operation."""

    requests: float = 4.0
    late_first_tokens: float = 0.01
    slow_tokens: float = 0.01
    slow_requests: float = 0.01
    failed: float = 0.0
    abandoned: float = 0.0  # per second, in addition to `requests`
    prompt_tokens: float = 800.0
    output_tokens: float = 200.0
    prefix_hits: float = 0.4
    preemptions: float = 0.0
    running: float = 24.0
    waiting: float = 0.0
    kv_cache: float = 0.35
    up: float = 1.0
    exporter: float = 1.0
    gpu: float = 1.0
    recovery: float = 0.0
    xid: float = 0.0
    clock: float = 1.0  # ratio to the GPU's maximum; below 1 it is throttled by heat
    recommended: float = 2.0
    excluded: float = 0.0

    def quick(self, late: float, share: float) -> float:
        """Return requests/s within a bound that `share` of those within the threshold reach."""
        return self.requests * (1 - late) * share


@dataclass(frozen=True)
class Piece:
    """A stretch of one replica's time: its state, and the values that its gauges reach at the end."""

    start: float
    end: float
    state: State
    grows: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def counters(self) -> dict[str, float]:
        """Rate per second of every counter."""
        return counters(self.state)

    def at(self, seconds: float) -> State:
        """Return the state at a time, with interpolated gauges."""
        if not self.grows:
            return self.state
        done = (seconds - self.start) / (self.end - self.start)
        now = {
            name: getattr(self.state, name) + done * (to - getattr(self.state, name)) for name, to in self.grows.items()
        }
        return replace(self.state, **now)


@dataclass(frozen=True, eq=False)
class Incident:
    """One file. `expected` is page, two pages (it gets worse by a class), ticket, or none; `theory` is the detection time of an alert without a burn rate: minutes, reason."""

    name: str
    title: str
    story: str
    expected: str
    stretches: tuple[dict[str, Any], ...]
    nodes: int = 2
    until: int = 110  # minutes of the run, so that the incident ends within it
    objectives: tuple[str, ...] = ("ttft", "up")  # keys of OBJECTIVES
    normal: State = State()
    theory: Mapping[str, Any] = field(default_factory=dict)

    @property
    def begins(self) -> float:
        """Second at which the incident begins."""
        return float(min(one["minutes"][0] for one in self.stretches if one["minutes"][0] > 0) * MINUTE)

    @property
    def excluded(self) -> bool:
        """Whether an exclusion covers it."""
        return any(one.get("excluded") for one in self.stretches)

    @cached_property
    def lives(self) -> list[list[Piece]]:
        """Pieces of each replica's time, from the start of history on."""
        return [list(self._life(node + 1)) for node in range(self.nodes)]

    def _life(self, node: int) -> Iterator[Piece]:
        """Yield the stretches of one replica, and normal operation between them; raises ValueError where stretches overlap."""
        mine = sorted(
            (one for one in self.stretches if node in one.get("replicas", (node,))), key=lambda one: one["minutes"]
        )
        until = -HISTORY
        for one in mine:
            start, end = (float(minute) * MINUTE for minute in one["minutes"])
            if start < until:
                raise ValueError(f"{self.name}: stretches of replica {node} overlap at {start / MINUTE:g} minutes")
            if start > until:
                yield Piece(until, start, self.normal)
            numbers = {key: value for key, value in one.items() if key not in ("minutes", "replicas")}
            grows = {key: float(value[1]) for key, value in numbers.items() if isinstance(value, list)}
            first = {key: float(value[0] if isinstance(value, list) else value) for key, value in numbers.items()}
            yield Piece(start, end, replace(self.normal, **first), grows)
            until = end
        yield Piece(until, math.inf, self.normal)

    def piece(self, node: int, seconds: float) -> Piece:
        """Return the piece of a replica (from 0) at a time."""
        return next(one for one in self.lives[node] if seconds < one.end)

    def born(self, node: int, seconds: float) -> float:
        """Return when the replica's process started: at the start of history, or at the end of its last downtime."""
        ends = [one.end for one in self.lives[node] if one.state.up == 0 and one.end <= seconds]
        return max(ends, default=-HISTORY)

    def counted(self, node: int, seconds: float) -> dict[str, float]:
        """Return every counter since the process started."""
        begin, found = self.born(node, seconds), dict.fromkeys(counters(self.normal), 0.0)
        for one in self.lives[node]:
            if one.state.up and (length := _length(one, begin, seconds)):
                for name, rate in one.counters.items():
                    found[name] += length * rate
        return found

    def requests(self, kind: str, start: float, end: float) -> tuple[float, float]:
        """Return the ground truth: good and total requests of an indicator's kind between two times, over all replicas that are up."""
        good = total = 0.0
        for life in self.lives:
            for one in life:
                if one.state.up and (length := _length(one, start, end)):
                    rates = evaluated(one.state)[kind]
                    good, total = good + length * rates[0], total + length * rates[1]
        return good, total


def _length(piece: Piece, start: float, end: float) -> float:
    return max(0.0, min(piece.end, end) - max(piece.start, start))


def evaluated(state: State) -> dict[str, tuple[float, float]]:
    """Return good and total requests/s by kind of indicator."""
    of, lost = state.requests, state.requests * state.failed + state.abandoned
    return {
        "time_to_first_token": (of * (1 - state.late_first_tokens), of),
        "time_per_output_token": (of * (1 - state.slow_tokens), of),
        "request_duration": (of * (1 - state.slow_requests), of),
        "availability": (of * (1 - state.failed), of * (1 - state.failed) + lost),
    }


def counters(state: State) -> dict[str, float]:
    """Return the rate per second of every counter of a replica, by sample name and labels."""
    tokens = state.requests * state.prompt_tokens
    found = {
        f'{c.FINISHED},reason="stop"': state.requests * (1 - state.failed),
        f'{c.FINISHED},reason="error"': state.requests * state.failed,
        f'{c.ABANDONED},stage="queued"': state.abandoned,
        f"{c.PROMPT_TOKENS}": tokens,
        f"{c.GENERATION_TOKENS}": state.requests * state.output_tokens,
        f"{c.PROGRESS_TOKENS}": tokens + state.requests * state.output_tokens,
        f"{c.PREFIX_QUERIED}": tokens,
        f"{c.PREFIX_HIT}": tokens * state.prefix_hits,
        f"{c.PREEMPTIONS}": state.preemptions,
    }
    # 97 % of requests within the threshold are fast, so that the normal p95 is far below it; the others stay below the last bound.
    for metric, late, bounds in (
        (c.TTFT, state.late_first_tokens, ("0.25", "0.6", "2.5")),
        (c.TPOT, state.slow_tokens, ("0.025", "0.04", "0.1")),
        (c.DURATION, state.slow_requests, ("2.0", "4.0", "10.0")),
    ):
        rates = state.quick(late, 0.97), state.quick(late, 1), state.requests
        found |= {f'{metric.bucket},le="{bound}"': rate for bound, rate in zip(bounds, rates, strict=True)}
        found |= {f'{metric.bucket},le="+Inf"': state.requests, metric.count: state.requests}
    return found


def incidents() -> list[Incident]:
    """Return every incident of the folder, by file name."""
    known = {one.name for one in fields(Incident)}
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        data = yaml.safe_load(path.read_text())
        data["normal"] = State(**data.get("normal", {}))
        assert set(data) <= known, f"{path.name}: unknown {set(data) - known}"
        found.append(Incident(name=path.stem, **data | {"stretches": tuple(data["stretches"])}))
    return found


def spec(given: list[Incident]) -> Spec:
    """Return the objectives of the run: one pool per incident."""
    pools = "".join(
        f"  - {{name: {one.name}, model: {one.name}, node: {{gpu: H100-80GB, gpus: 2, hourly_usd: 4}}, "
        f"nodes: {{min: {min(2, one.nodes)}, max: 8, warm_spares: 0}}, "
        "timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}\n"
        for one in given
    )
    objectives = "".join(
        f"  - {{id: {one.name}-{name}, pool: {one.name}, {OBJECTIVES[name]}}}\n"
        for one in given
        for name in one.objectives
    )
    return load(f"version: plimsoll/v1\npools:\n{pools}objectives:\n{objectives}")


def detection(incident: Incident, objectives: tuple[Objective, ...], until: float, every: float = 15.0) -> float | None:
    """Return the seconds from an incident's beginning until a burn-rate page is due, or None if none is due by `until`.

    Computed by slo/error_budget/burn_rate.py from the incident's own requests, without delays of scrapes, rules, or routing.
    """
    pages = [
        (one, tier)
        for one in objectives
        for tier in burn_rate.alerts(one.window.seconds, one.budget_ratio)
        if tier.severity == "page"
    ]
    moment = incident.begins
    while moment <= until:
        if any(_burns(incident, one, tier, moment) for one, tier in pages):
            return moment - incident.begins
        moment += every
    return None


def _burns(incident: Incident, objective: Objective, tier: burn_rate.BurnRateAlert, moment: float) -> bool:
    kind = objective.indicator.kind
    long, short = (incident.requests(kind, moment - window, moment) for window in (tier.long, tier.short))
    rates = [burn_rate.burn_rate(*window, objective.budget_ratio) for window in (long, short)]
    return long[1] - long[0] >= burn_rate.MIN_BAD["page"] and all(
        rate is not None and rate > tier.threshold for rate in rates
    )

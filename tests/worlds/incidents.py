"""Incidents as data: `tests/fixtures/theatre/*.yaml`, one pool each, and the counters and gauges that its replicas would show.

A replica is calm (`State`) except in the stretches that a file lists. Rates are constant within a stretch, so every counter has
an exact integral, and with it every objective has a ground truth: how many requests were good, from when to when.
Time is in seconds of the play; the curtain rises at 0 and history lies below.
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

FOLDER = FIXTURES / "theatre"
MINUTE = 60.0
HISTORY = 3 * 86400.0  # seconds of calm before the curtain: as far back as the longest window looks
OBJECTIVES = {
    "ttft": "indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d",
    "tpot": "indicator: {time_per_output_token: 40ms}, target: 95%, window: 28d",
    "e2e": "indicator: {request_duration: 4s}, target: 95%, window: 28d",
    "up": "indicator: availability, target: 99.9%, window: {calendar: month, timezone: UTC}",
    "batch": "indicator: availability, target: 90%, window: 28d",
}


@dataclass(frozen=True)
class State:
    """What one replica does: rates a second, shares of requests, gauges. The defaults are a calm one."""

    requests: float = 4.0
    late_first_tokens: float = 0.01
    slow_tokens: float = 0.01
    slow_requests: float = 0.01
    failed: float = 0.0
    given_up: float = 0.0  # a second, beside `requests`
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
    clock: float = 1.0  # share of the GPU's most; below 1 it is held down by heat
    recommended: float = 2.0
    excluded: float = 0.0

    def quick(self, late: float, share: float) -> float:
        """Requests a second within a bound that `share` of those in time reach."""
        return self.requests * (1 - late) * share


@dataclass(frozen=True)
class Piece:
    """A stretch of one replica's life: its state, and what its gauges grow to by the end."""

    start: float
    end: float
    state: State
    grows: Mapping[str, float] = field(default_factory=dict)

    @cached_property
    def counters(self) -> dict[str, float]:
        """Every counter, a second."""
        return counters(self.state)

    def at(self, seconds: float) -> State:
        """State at a moment, with gauges on their way."""
        if not self.grows:
            return self.state
        done = (seconds - self.start) / (self.end - self.start)
        now = {
            name: getattr(self.state, name) + done * (to - getattr(self.state, name)) for name, to in self.grows.items()
        }
        return replace(self.state, **now)


@dataclass(frozen=True, eq=False)
class Incident:
    """One file. `deserves` is page, ticket or nothing; `theory` is what no burn rate can tell: minutes, and why."""

    name: str
    title: str
    story: str
    deserves: str
    stretches: tuple[dict[str, Any], ...]
    nodes: int = 2
    until: int = 110  # minutes that must be played to see how it ends
    objectives: tuple[str, ...] = ("ttft", "up")  # keys of OBJECTIVES
    calm: State = State()
    theory: Mapping[str, Any] = field(default_factory=dict)

    @property
    def begins(self) -> float:
        """Second at which it begins."""
        return float(min(one["minutes"][0] for one in self.stretches if one["minutes"][0] > 0) * MINUTE)

    @property
    def excluded(self) -> bool:
        """Whether it was announced as an exclusion."""
        return any(one.get("excluded") for one in self.stretches)

    @cached_property
    def lives(self) -> list[list[Piece]]:
        """Pieces of each replica's life, from the beginning of history on."""
        return [list(self._life(node + 1)) for node in range(self.nodes)]

    def _life(self, node: int) -> Iterator[Piece]:
        """Stretches of one replica, and calm between them. Stretches that overlap are an error of the file."""
        mine = sorted(
            (one for one in self.stretches if node in one.get("replicas", (node,))), key=lambda one: one["minutes"]
        )
        until = -HISTORY
        for one in mine:
            start, end = (float(minute) * MINUTE for minute in one["minutes"])
            if start < until:
                raise ValueError(f"{self.name}: stretches of replica {node} overlap at {start / MINUTE:g} minutes")
            if start > until:
                yield Piece(until, start, self.calm)
            numbers = {key: value for key, value in one.items() if key not in ("minutes", "replicas")}
            grows = {key: float(value[1]) for key, value in numbers.items() if isinstance(value, list)}
            first = {key: float(value[0] if isinstance(value, list) else value) for key, value in numbers.items()}
            yield Piece(start, end, replace(self.calm, **first), grows)
            until = end
        yield Piece(until, math.inf, self.calm)

    def piece(self, node: int, seconds: float) -> Piece:
        """What a replica (from 0) lives at a moment."""
        return next(one for one in self.lives[node] if seconds < one.end)

    def born(self, node: int, seconds: float) -> float:
        """When the replica's process started: at the beginning, or at the end of its last down time."""
        ends = [one.end for one in self.lives[node] if one.state.up == 0 and one.end <= seconds]
        return max(ends, default=-HISTORY)

    def counted(self, node: int, seconds: float) -> dict[str, float]:
        """Every counter of `counters`, since the process started."""
        begin, found = self.born(node, seconds), dict.fromkeys(counters(self.calm), 0.0)
        for one in self.lives[node]:
            if one.state.up and (length := _length(one, begin, seconds)):
                for name, rate in one.counters.items():
                    found[name] += length * rate
        return found

    def requests(self, kind: str, start: float, end: float) -> tuple[float, float]:
        """Ground truth: good and total of an indicator's kind between two moments, over all replicas that live."""
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
    """Good and total a second, by kind of indicator."""
    of, lost = state.requests, state.requests * state.failed + state.given_up
    return {
        "time_to_first_token": (of * (1 - state.late_first_tokens), of),
        "time_per_output_token": (of * (1 - state.slow_tokens), of),
        "request_duration": (of * (1 - state.slow_requests), of),
        "availability": (of * (1 - state.failed), of * (1 - state.failed) + lost),
    }


def counters(state: State) -> dict[str, float]:
    """Every counter of a replica, a second, by sample name and own labels as they are written."""
    tokens = state.requests * state.prompt_tokens
    found = {
        f'{c.FINISHED},reason="stop"': state.requests * (1 - state.failed),
        f'{c.FINISHED},reason="error"': state.requests * state.failed,
        f'{c.ABANDONED},stage="queued"': state.given_up,
        f"{c.PROMPT_TOKENS}": tokens,
        f"{c.GENERATION_TOKENS}": state.requests * state.output_tokens,
        f"{c.PREFIX_QUERIED}": tokens,
        f"{c.PREFIX_HIT}": tokens * state.prefix_hits,
        f"{c.PREEMPTIONS}": state.preemptions,
    }
    # Of those in time 97 % are quick, so that a calm p95 is far from its limit; those late end below the last bound.
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
    """Every incident of the folder, by name of its file."""
    known = {one.name for one in fields(Incident)}
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        data = yaml.safe_load(path.read_text())
        data["calm"] = State(**data.get("calm", {}))
        assert set(data) <= known, f"{path.name}: unknown {set(data) - known}"
        found.append(Incident(name=path.stem, **data | {"stretches": tuple(data["stretches"])}))
    return found


def spec(cast: list[Incident]) -> Spec:
    """The objectives file of the play: a pool per incident, of which one node fewer than it has must serve."""
    pools = "".join(
        f"  - {{name: {one.name}, model: {one.name}, node: {{gpu: H100-80GB, gpus: 2, hourly_usd: 4}}, "
        f"nodes: {{min: {min(2, one.nodes)}, max: 8, warm_spares: 0}}, "
        "timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}\n"
        for one in cast
    )
    objectives = "".join(
        f"  - {{id: {one.name}-{name}, pool: {one.name}, {OBJECTIVES[name]}}}\n"
        for one in cast
        for name in one.objectives
    )
    return load(f"version: plimsoll/v1\npools:\n{pools}objectives:\n{objectives}")


def detection(incident: Incident, objectives: tuple[Objective, ...], until: float, every: float = 15.0) -> float | None:
    """Seconds from an incident's beginning until a page is due in theory: both windows of a tier burn, enough are bad.

    Computed by slo/error_budget/burn_rate.py from the incident's own requests, without scrapes, rules or waiting. None: no page is due by then.
    """
    pages = [
        (one, tier)
        for one in objectives
        for tier in burn_rate.tiers(one.window.seconds, one.budget_ratio)
        if tier.severity == "page"
    ]
    moment = incident.begins
    while moment <= until:
        if any(_burns(incident, one, tier, moment) for one, tier in pages):
            return moment - incident.begins
        moment += every
    return None


def _burns(incident: Incident, objective: Objective, tier: burn_rate.Tier, moment: float) -> bool:
    kind = objective.indicator.kind
    long, short = (incident.requests(kind, moment - window, moment) for window in (tier.long, tier.short))
    rates = [burn_rate.burn_rate(*window, objective.budget_ratio) for window in (long, short)]
    return long[1] - long[0] >= burn_rate.MIN_BAD["page"] and all(
        rate is not None and rate > tier.factor for rate in rates
    )

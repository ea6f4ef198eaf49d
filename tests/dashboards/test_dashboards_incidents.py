"""Seven simulated incidents on a real Prometheus: the right panels show each of them, and every query has a valid result.

The data is `past_fleet`: the demo fleet's engine model, read by the exporter's own code. Takes a minute.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from backfill import PastPrometheus
from past_features import ACCEPTED, EXTERNAL_HIT_RATIO, LAW, PROPOSED
from past_fleet import EPOCH, INCIDENTS, MINUTE, SPEC, past
from plimsoll.dashboards import queries
from plimsoll.dashboards.build import boards
from plimsoll.slo import metrics
from plimsoll.slo.metrics import recorded as series
from promql import panel_queries, panels, substitute, variable_queries
from stack import Series

pytestmark = [pytest.mark.prometheus, pytest.mark.slow, pytest.mark.timeout(400)]

BOARDS = {name: json.loads(text) for name, text in boards(SPEC).items()}
RATE, STEP = "60s", 15  # Grafana's values for scrapes every 15 s
CALM = (20, 29)  # minutes without an incident
TIMES = {"calm": CALM, **INCIDENTS}
# Units whose values have natural bounds. Rates extrapolate, so a fraction of time may be slightly above 1.
BOUNDS = {"percentunit": (0.0, 1.02), "celsius": (0.0, 120.0), "s": (0.0, math.inf), "none": (0.0, math.inf)}
ROUNDING = 1e-9  # total minus good, both float sums, may be slightly negative
BELOW_ZERO = {"Error budget remaining", "Error budget remaining by SLO", "Recommended change (nodes)"}
LIMIT = SPEC.pools[0].max_kv_cache_usage


class World(NamedTuple):
    """The Prometheus with the simulated past, queried as a panel queries it."""

    prometheus: PastPrometheus

    def query(self, panel: Mapping[str, Any], expr: str, incident: str) -> list[Series]:
        """Return what a query of a panel shows in the second half of an incident."""
        start, end = (EPOCH + minute * MINUTE for minute in TIMES[incident])
        if panel["targets"][0]["instant"]:
            return [Series(one.labels, [(end, one.value)]) for one in self.prometheus.query(expr, end - MINUTE)]
        return self.prometheus.query_range(expr, (start + end) / 2, end - MINUTE, STEP)

    def shown(self, board: str, title: str, incident: str, by: str = "") -> dict[str, list[float]]:
        """Return the values of a panel's series by a label, or by the query's letter."""
        (panel,) = (one for one in panels(BOARDS[f"{board}.json"]) if one["title"] == title)
        found: dict[str, list[float]] = {}
        for target in panel["targets"]:
            for one in self.query(panel, substitute(target["expr"], __rate_interval=RATE), incident):
                found.setdefault(one.labels[by] if by else target["refId"], []).extend(value for _, value in one.points)
        return found

    def maximum(self, board: str, title: str, incident: str) -> float:
        """Return the highest value that a panel shows."""
        return max(value for values in self.shown(board, title, incident).values() for value in values)


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with past(Path(request.config.cache.mkdir("past"))) as prometheus:
        yield World(prometheus)


# Every query ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("incident", TIMES)
def test_every_panel_shows_finite_numbers_in_the_range_of_its_unit(world: World, incident: str) -> None:
    wrong = []
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                found = world.query(panel, substitute(target["expr"], __rate_interval=RATE), incident)
                wrong += [f"{name} {panel['title']} {target['refId']}: {text}" for text in _complaints(panel, found)]
    rightly = {f"gpu.json GPUs not readable {letter}: nothing" for letter in "AB"}
    if TIMES[incident][0] <= INCIDENTS["lost GPU"][0]:
        rightly.add("gpu.json Time since last XID error A: nothing")
    assert [text for text in wrong if text not in rightly] == []


def _complaints(panel: Mapping[str, Any], found: list[Series]) -> Iterator[str]:
    field = panel["fieldConfig"]["defaults"]
    low, high = BOUNDS.get(field["unit"], (0.0, math.inf))
    low, high = (-math.inf if panel["title"] in BELOW_ZERO else low), min(high, field.get("max", math.inf) * 1.02)
    states = {float(value) for mapping in field["mappings"] for value in mapping["options"]}
    values = [value for one in found for _, value in one.points]
    if not values:
        yield "nothing"
    for value in values:
        if not math.isfinite(value) or not low - ROUNDING <= value <= high:
            yield f"{value} is not between {low} and {high}"
        if panel["type"] == "state-timeline" and value not in states:
            yield f"{value} is none of the states {states}"


@pytest.mark.parametrize("incident", TIMES)
def test_every_variable_offers_a_choice(world: World, incident: str) -> None:
    at = EPOCH + TIMES[incident][1] * MINUTE
    for name, board in BOARDS.items():
        for query in variable_queries(board):
            assert world.prometheus.query(query.expr, at), f"{name} {query.panel}"


def test_choosing_a_node_leaves_nothing_of_the_others(world: World) -> None:
    end = EPOCH + CALM[1] * MINUTE
    for name, board in BOARDS.items():
        for query in panel_queries(board, __rate_interval=RATE, node="node-1", region="south"):
            for one in world.prometheus.query(query.expr, end):
                assert one.labels.get("replica", "node-1") == "node-1", (name, query)
                assert one.labels.get("instance", "node-1:9800") in ("node-1:9800", "service:8080"), (name, query)


def test_a_million_tokens_in_and_a_million_out_each_bear_the_whole_cost(world: World) -> None:
    """Tokens per dollar of both kinds add up; prices don't."""
    parts = world.shown("capacity", "Cost per 1M input / output tokens", "calm")
    both = world.shown("capacity", "Cost per 1M tokens", "calm")["A"]
    assert [1 / a + 1 / b for a, b in zip(parts["A"], parts["B"], strict=True)] == pytest.approx([1 / c for c in both])
    assert min(parts["A"]) > 0, "inputs are longer than outputs, so 1M input tokens cost less"
    assert all(a < b for a, b in zip(parts["A"], parts["B"], strict=True))


# What each incident shows ----------------------------------------------------------------------------------
EXPECTED = {
    "calm": set(),
    "prefill burst": {"prefill-burst"},
    "KV full": {"kv-cache-saturated"},
    "cold start": {"cold-start"},
    "lost GPU": {"replica-slow-or-lost"},
    "slow node": {"replica-slow-or-lost"},
    "traffic x4": set(),
    "wedged engine": set(),
}


@pytest.mark.parametrize("incident", TIMES)
def test_the_likely_cause_is_detected_and_no_other(world: World, incident: str) -> None:
    shown = world.shown("oncall", "Likely cause", incident, by="signature")
    assert {name for name, values in shown.items() if values[-1] == 1} == EXPECTED[incident]


def test_a_prefill_burst_shows_in_its_phase_and_in_everyones_tokens_but_not_in_the_cache(world: World) -> None:
    now, calm = ("prefill burst", "calm")
    assert (
        world.shown("oncall", "Prefill time", now)["B"][-1] > 2 * world.shown("oncall", "Prefill time", calm)["B"][-1]
    )
    tokens = [world.shown("oncall", "Time per output token", one)["B"][-1] for one in (now, calm)]
    assert tokens[0] > 1.25 * tokens[1]
    assert world.maximum("oncall", "KV cache usage", now) < LIMIT


def test_a_full_cache_shows_as_usage_queue_and_preemptions(world: World) -> None:
    assert world.maximum("oncall", "KV cache usage", "KV full") > LIMIT
    assert world.maximum("oncall", "Waiting requests", "KV full") > SPEC.pools[0].max_waiting_per_node
    assert world.maximum("oncall", "Preemptions", "KV full") > 0
    assert world.maximum("oncall", "Preemptions", "calm") == 0


def test_a_cold_start_shows_as_one_young_replica_with_late_first_tokens(world: World) -> None:
    ages = world.shown("oncall", "Engine uptime", "cold start", by="replica")
    assert [name for name, values in ages.items() if values[-1] < 600] == ["node-3"]
    ttft = world.shown("oncall", "Time to first token p95 by replica", "cold start", by="replica")
    assert ttft["node-3"][-1] > 3 * max(values[-1] for name, values in ttft.items() if name != "node-3")


def test_a_lost_gpu_shows_with_its_replica(world: World) -> None:
    gpus = world.shown("oncall", "GPUs up", "lost GPU", by="uuid")
    assert [uuid for uuid, values in gpus.items() if values[-1] == 0] == ["GPU-node-2-1"]
    replicas = world.shown("oncall", "Replicas up", "lost GPU", by="replica")
    assert [name for name, values in replicas.items() if values[-1] == 0] == ["node-2"]
    for tile in ("Replicas down", "GPUs lost"):
        assert (world.maximum("oncall", tile, "lost GPU"), world.maximum("oncall", tile, "calm")) == (1, 0)
    health = world.shown("gpu", "GPU health", "lost GPU", by="uuid")
    assert {uuid: values[-1] for uuid, values in health.items() if values[-1]} == {"GPU-node-2-1": 3}
    assert world.maximum("gpu", "Time since last XID error", "lost GPU") < 7 * MINUTE


def test_a_slow_node_shows_as_one_low_clock_and_one_slow_replica(world: World) -> None:
    clocks = world.shown("oncall", "SM clock, lowest per node", "slow node", by="instance")
    assert [name for name, values in clocks.items() if values[-1] < 0.5] == ["node-1:9800"]
    tokens = world.shown("pool", "Time per output token p95", "slow node", by="replica")
    assert tokens["node-1"][-1] > 2 * max(values[-1] for name, values in tokens.items() if name != "node-1")
    held = world.shown("gpu", "Clock throttling by reason", "slow node", by="reason")
    assert max(held["software_thermal"]) > 0.5


def test_four_times_the_traffic_shows_as_requests_and_tokens(world: World) -> None:
    served, calm = (world.shown("oncall", "Completed requests", one)["A"][-1] for one in ("traffic x4", "calm"))
    assert 2.5 * calm < served < 5.5 * calm
    assert world.maximum("oncall", "Running requests", "traffic x4") > 3 * world.maximum(
        "oncall", "Running requests", "calm"
    )


def test_a_wedged_engine_shows_as_a_queue_without_tokens(world: World) -> None:
    waiting = world.shown("oncall", "Waiting requests", "wedged engine", by="replica")
    assert waiting["node-0"][-1] > waiting["node-0"][0] > SPEC.pools[0].max_waiting_per_node
    assert max(values[-1] for name, values in waiting.items() if name != "node-0") < SPEC.pools[0].max_waiting_per_node
    tokens = world.shown("oncall", "Output tokens by replica", "wedged engine", by="replica")
    assert [name for name, values in tokens.items() if max(values) == 0] == ["node-0"]
    alerts = world.shown("oncall", "Firing alerts", "wedged engine", by="alertname")
    assert alerts["LLMReplicaStalled"][-1] == 2


def test_caches_speculation_and_adapters_show_the_simulated_ratios(world: World) -> None:
    accepted = world.shown("replica", "Draft acceptance ratio", "traffic x4")["A"]
    assert accepted == pytest.approx([ACCEPTED / PROPOSED] * len(accepted), rel=0.01)
    step = world.shown("replica", "Accepted tokens per step", "traffic x4")["A"]
    assert step == pytest.approx([1 + ACCEPTED] * len(step), rel=0.01)
    external = world.shown("replica", "Prefix cache hit ratio by tier", "traffic x4")["B"]
    assert external == pytest.approx([EXTERNAL_HIT_RATIO] * len(external), rel=0.01)
    requests = world.shown("pool", "Requests by LoRA adapter", "traffic x4", by="adapter")
    assert sum(requests["law"]) / sum(requests["none"]) == pytest.approx(LAW / (1 - LAW), rel=0.05)


def test_the_sums_of_the_rules_give_the_quantiles_of_the_raw_buckets(world: World) -> None:
    """The on-call dashboard's recorded quantiles equal those of every replica's buckets over the same two minutes."""
    late = EPOCH + 155 * MINUTE
    at = world.prometheus.query(f"max(timestamp({series.bucket_rate(metrics.TTFT)}))", late)[
        0
    ].value  # the rules' own evaluation time
    for histogram in (
        metrics.TTFT,
        metrics.TPOT,
        metrics.DURATION,
        metrics.QUEUE,
        metrics.PREFILL,
        metrics.DECODE,
    ):
        raw, recorded = (
            world.prometheus.query(substitute(write(0.95, histogram), __rate_interval="2m"), at)[0].value
            for write in (queries.quantile, queries.recorded_quantile)
        )
        assert recorded == pytest.approx(raw)

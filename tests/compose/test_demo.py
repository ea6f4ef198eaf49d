"""The demo fleet: its pages by the model's clock."""

import os
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from demo_page import SOURCES, SPEC, value
from plimsoll.compose.demo.fleet import Fleet
from plimsoll.compose.demo.replica import Replica
from plimsoll.exporters.engines.parser import Page, parse
from plimsoll.slo import metrics
from plimsoll.slo.metrics import bucket_bound

BURST = range(180, 220)


def fleet(replicas: int = 2, seed: int = 1) -> Fleet:
    return Fleet(SPEC, replicas, seed)


def page_of(replica: Replica) -> Page:
    return parse(generate_latest(replica.page.registry).decode())


def test_the_page_has_what_plimsoll_maps_and_says_that_it_is_simulated() -> None:
    page = page_of(fleet().replicas[0])
    suffix = {"gauge": "", "counter": "", "histogram": "_count"}
    missing = [s.names[0] for s in SOURCES if s.names[0] + suffix[s.metric.kind] not in page.series]
    assert missing == []
    assert page.series[metrics.SIMULATED.name] == {(): 1.0}
    assert "HELP plimsoll_simulated 1: this is Plimsoll's demo fleet. Every number on this page comes from a model" in (
        generate_latest(fleet().replicas[0].page.registry).decode()
    )


def shape(page: Page) -> dict[str, set[tuple[str, ...]]]:
    """The labels of every series of vLLM's, without the bounds of buckets."""
    return {
        name: {
            tuple(sorted(f"{key}={label}" for key, label in found if key not in ("le", "model_name"))) for found in rows
        }
        for name, rows in page.series.items()
        if name.startswith("vllm:") and name != "vllm:cache_config_info"
    }


def bounds(page: Page, histogram: str) -> set[float]:
    return {float(dict(found)["le"]) for found in page.series[f"{histogram}_bucket"]}


@pytest.mark.skipif("PLIMSOLL_DATA" not in os.environ, reason="needs a page of a real vLLM: set PLIMSOLL_DATA")
def test_the_page_has_the_series_labels_and_bounds_of_a_real_vllm() -> None:
    real = parse((Path(os.environ["PLIMSOLL_DATA"]) / "vllm" / "0.32.0.prom").read_text())
    ours = page_of(fleet().replicas[0])
    assert shape(ours) == shape(real)
    added = {name: bounds(ours, name) - bounds(real, name) for name in VLLM_HISTOGRAMS}
    assert added == VLLM_HISTOGRAMS
    assert all(bounds(real, name) <= bounds(ours, name) for name in VLLM_HISTOGRAMS)
    info = dict(next(iter(ours.series["vllm:cache_config_info"])))
    assert set(info) <= set(dict(next(iter(real.series["vllm:cache_config_info"]))))


# The default objectives' limits, where --custom-histogram-buckets would put them.
VLLM_HISTOGRAMS = {
    "vllm:time_to_first_token_seconds": {0.6},
    "vllm:inter_token_latency_seconds": {0.04},
    "vllm:request_time_per_output_token_seconds": {0.04},
    "vllm:e2e_request_latency_seconds": {4.0},
    "vllm:request_queue_time_seconds": {4.0},
}


def test_every_request_is_accounted_for_at_every_moment() -> None:
    simulated, arrived = fleet(), 0
    for tick in range(1, 1200):
        simulated.advance(tick * 0.25)
        for replica in simulated.replicas:
            parts = (replica.finished, replica.waiting, replica.running, replica.abandoned, replica.failed)
            assert replica.arrived == sum(parts)
        if tick % 100 == 0:
            page = page_of(simulated.replicas[0])
            replica = simulated.replicas[0]
            arrived = replica.arrived
            assert value(page, "vllm:request_success_total") == replica.finished
            assert value(page, "vllm:num_requests_running") == replica.running
            assert value(page, "vllm:num_requests_waiting_by_reason") == replica.waiting
            assert value(page, "http_requests_total", status="2xx") == replica.finished + replica.abandoned
            assert value(page, "http_requests_total", status="5xx") == replica.failed
            assert 0 <= value(page, "vllm:kv_cache_usage_perc") <= 1
    assert arrived > 1000


def test_the_traffic_is_the_same_for_a_seed_however_often_the_clock_is_read() -> None:
    def outcome(seed: int, tick: float) -> list[tuple[int, ...]]:
        simulated = fleet(seed=seed)
        for index in range(1, int(150 / tick) + 1):
            simulated.advance(index * tick)
        return [(one.arrived, one.finished, one.abandoned, one.failed) for one in simulated.replicas]

    assert outcome(1, 0.1) == outcome(1, 2.5)
    assert outcome(1, 2.5) != outcome(2, 2.5)


def test_a_burst_queues_fills_the_cache_and_passes_while_calm_hours_meet_the_objectives() -> None:
    simulated, seen = fleet(), []
    for second in range(1, 400):
        simulated.advance(second)
        page = page_of(simulated.replicas[0])
        goodput = {
            outcome: value(page, metrics.OBJECTIVE_REQUESTS.name, objective="chat-goodput", outcome=outcome)
            for outcome in ("good", "bad")
        }
        seen.append((value(page, "vllm:num_requests_waiting"), value(page, "vllm:kv_cache_usage_perc"), goodput))
    over = BURST.stop + 60
    burst, calm = seen[BURST.start : over], seen[: BURST.start] + seen[over:]
    assert max(queue for queue, _, _ in calm) < 20 < max(queue for queue, _, _ in burst)
    assert max(cache for _, cache, _ in calm) < 0.5
    assert max(cache for _, cache, _ in burst) > 0.85
    before, late, end = (seen[second][2] for second in (BURST.start - 1, over, -1))
    assert before["good"] > 95 / 5 * before["bad"]
    assert end["good"] - late["good"] > 95 / 5 * (end["bad"] - late["bad"])
    assert late["bad"] > 5 / 95 * late["good"]


def test_outcomes_agree_with_the_buckets_at_the_limits() -> None:
    simulated = fleet()
    simulated.advance(290)
    page = page_of(simulated.replicas[1])
    for objective, histogram, limit in (
        ("chat-e2e", "vllm:e2e_request_latency_seconds", 4.0),
        ("chat-tpot", "vllm:request_time_per_output_token_seconds", 0.04),
    ):
        good, bad = (
            value(page, metrics.OBJECTIVE_REQUESTS.name, objective=objective, outcome=outcome)
            for outcome in ("good", "bad")
        )
        assert good == value(page, f"{histogram}_bucket", le=bucket_bound(limit)) > 0
        assert good + bad == value(page, f"{histogram}_count") and bad > 0
    assert not [
        found for found in page.series[metrics.OBJECTIVE_REQUESTS.name] if ("objective", "chat-availability") in found
    ]


def test_clients_that_lose_patience_leave_nothing_but_an_http_2xx() -> None:
    simulated = fleet()
    simulated.advance(329)  # the burst has passed, and few are under way
    for replica in simulated.replicas:
        page = page_of(replica)
        first_tokens = value(page, "vllm:time_to_first_token_seconds_count")
        assert replica.abandoned > 0
        assert value(page, "vllm:request_success_total", finished_reason="abort") == 0
        under_way = replica.running + replica.waiting
        given_up = value(page, "http_requests_total", status="2xx") - first_tokens
        assert replica.abandoned - under_way <= given_up <= replica.abandoned

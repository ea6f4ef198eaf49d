"""The prefix cache: what it saves to the token, what it may never do to the accounts, and who is routed to whom."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_model_run import run
from plimsoll.slo.capacity.policies.fixed import Fixed
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.fleet import Setup
from plimsoll.slo.capacity.simulator.fleet import run as run_fleet
from plimsoll.slo.capacity.simulator.prefix_cache import PrefixCache
from plimsoll.slo.capacity.simulator.replay import percentile
from plimsoll.slo.capacity.simulator.request import Limits, Request
from plimsoll.slo.capacity.simulator.traces import Arrival, load

MODEL = step_time.load("70b-fp8-h100-tp4")
CACHED = Limits(prefix_block=512)


def served(requests: list[Request], limits: Limits = CACHED) -> tuple[Engine, int]:
    """Serve requests; returns the engine and the prompt tokens that it computed."""
    engine = Engine(MODEL, limits)
    return engine, sum(step.prompt_tokens for step in run(engine, requests))


def test_a_prompt_that_was_asked_before_costs_its_unknown_rest_alone() -> None:
    first, second = Request(0.0, 1500, 10, (1, 2, 3)), Request(100.0, 1500, 10, (1, 2, 3))
    engine, computed = served([first, second])
    assert computed == 1500 + 1500 - 1024, "two whole blocks are shared, the third is not whole"
    assert second.ttft == pytest.approx(MODEL.prefill(476))
    assert engine.cache is not None
    assert (engine.cache.hit_tokens, engine.cache.asked_tokens) == (1024, 3000)


def test_at_least_one_token_is_computed_and_another_beginning_shares_nothing() -> None:
    _, computed = served([Request(0.0, 1024, 5, (1, 2)), Request(100.0, 1024, 5, (1, 2))])
    assert computed == 1024 + 512
    _, computed = served([Request(0.0, 1024, 5, (1, 2)), Request(100.0, 1024, 5, (9, 2))])
    assert computed == 2048
    _, computed = served([Request(0.0, 1024, 5, (1, 2)), Request(100.0, 1024, 5, (1, 2))], Limits())
    assert computed == 2048, "no cache unless it is asked for"


@pytest.mark.parametrize(("between", "hit"), [(4, 1024), (5, 512), (6, 0)])
def test_what_was_used_least_recently_makes_room_its_end_first(between: int, hit: int) -> None:
    # Room for six blocks of 512 tokens: two of the prompt, and one of each other, which stay when it is done.
    limits = Limits(num_blocks=6 * 32, prefix_block=512)
    others = [Request(100.0 * (index + 1), 512, 1, (10 + index,)) for index in range(between)]
    again = Request(1000.0, 1025, 1, (1, 2, 99))
    engine, computed = served([Request(0.0, 1025, 1, (1, 2, 98)), *others], limits)
    assert computed == 1025 + 512 * between
    engine.add(again)
    engine.step(1000.0, 1001.0)
    assert engine.cache is not None
    assert engine.cache.hit_tokens == hit


@given(
    st.lists(
        st.tuples(st.sampled_from([0.0, 0.01, 0.3, 5.0]), st.integers(1, 60), st.integers(1, 30), st.integers(0, 2)),
        min_size=1,
        max_size=25,
    ),
    st.integers(24, 60),
    st.integers(1, 6),
    st.integers(8, 40),
)
def test_nothing_is_lost_or_made_up_whatever_is_shared_pushed_out_and_forgotten(
    rows: list[tuple[float, int, int, int]], blocks: int, seqs: int, budget: int
) -> None:
    limits = Limits(blocks, 4, seqs, max(seqs, budget), prefix_block=8)
    engine, now, requests = Engine(MODEL, limits), 0.0, []
    for gap, prompt, output, family in rows:
        now += gap
        requests.append(Request(now, prompt, output, tuple(100 * family + index for index in range(-(-prompt // 8)))))
    done = run(engine, [request for request in requests if engine.fits(request)])
    assert all(request.finished is not None for request in requests if engine.fits(request))
    assert engine.free_blocks == blocks
    assert engine.cache is not None
    assert not engine.cache._used, "nobody is left who uses a block"
    assert not engine.cache._held
    assert engine.cache.asked_tokens >= sum(request.prompt for request in requests if engine.fits(request))
    for step in done:
        assert 0 <= step.blocks <= blocks
    finished = [request for request in requests if request.finished is not None]
    assert sum(step.decodes * step.count + len(step.first_tokens) + len(step.resumed) for step in done) == sum(
        request.output for request in finished
    ), "every token once, however much was cached"
    engine.cache.evict(0)
    assert not engine.cache._unused


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4000), st.integers(1, 200)), min_size=1, max_size=30))
def test_prompts_that_share_nothing_are_served_as_without_a_cache(rows: list[tuple[int, int, int]]) -> None:
    times: list[list[float | None]] = []
    for limits in (Limits(num_blocks=400), Limits(num_blocks=400, prefix_block=512)):
        requests = [
            Request(float(at), prompt, output, tuple(100 * number + index for index in range(8)))
            for number, (at, prompt, output) in enumerate(sorted(rows))
        ]
        run(Engine(MODEL, limits), requests)
        if not any(request.preemptions for request in requests):
            times.append([moment for request in requests for moment in (request.first_token, request.finished)])
    assert len(times) != 2 or times[0] == times[1]


def test_a_prefix_block_is_a_multiple_of_the_engines_own() -> None:
    with pytest.raises(ValueError, match="512 tokens isn't a multiple of the engine's block size of 48"):
        PrefixCache(512, 48)


def families(count: int) -> list[Arrival]:
    """Eleven families of prompts that share 6,144 tokens each, in turn, with a rest of their own."""
    shared = {family: tuple(1000 * family + index for index in range(12)) for family in range(11)}
    return [Arrival(0.25 * index, 6300, 20, (*shared[index * 7 % 11], 10**6 + index)) for index in range(count)]


def test_sticking_to_the_node_that_knows_the_prompt_needs_less_prefill_than_taking_turns() -> None:
    setup = Setup(MODEL, replace(CACHED, num_blocks=6 * 12 * 32), 4, 4)  # six of eleven families fit a node
    sticky, turns = (
        run_fleet(families(800), Fixed(4), replace(setup, routing=routing)).result
        for routing in ("prefix-sticky", "round-robin")
    )
    assert len(sticky.requests) == len(turns.requests) == 800
    assert (percentile(sticky.ttft, 0.5) or 1) < 0.5 * (percentile(turns.ttft, 0.5) or 0)


def test_one_prompt_that_everybody_asks_does_not_drown_one_node() -> None:
    arrivals = [Arrival(0.02 * index, 2000, 200, (1, 2, 3, 4)) for index in range(600)]
    setup = Setup(MODEL, CACHED, 3, 3, routing="prefix-sticky")
    outcome = run_fleet(arrivals, Fixed(3), setup)
    assert outcome.result.goodput(2.0, 0.2) > 0.99


def test_slower_nodes_take_longer_and_least_loaded_routing_gives_them_less() -> None:
    arrivals = [Arrival(0.1 * index, 1000, 100) for index in range(600)]
    setup = Setup(MODEL, Limits(), 2, 2)
    even, mixed = (
        run_fleet(arrivals, Fixed(2), replace(setup, slowness=slowness)).result for slowness in ((1.0,), (1.0, 3.0))
    )
    assert max(mixed.tpot) > 2 * max(even.tpot)
    fair = run_fleet(arrivals, Fixed(2), replace(setup, slowness=(1.0, 3.0), routing="least-loaded")).result
    assert (percentile(fair.tpot, 0.95) or 1) < (percentile(mixed.tpot, 0.95) or 0)
    assert len(even.requests) == len(mixed.requests) == len(fair.requests) == 600


def test_mooncakes_hash_ids_are_read(tmp_path: Path) -> None:
    rows = [
        {"timestamp": 1000 * index, "input_length": 1500, "output_length": 5, "hash_ids": [1, 2, 3 + index]}
        for index in range(3)
    ]
    file = tmp_path / "trace.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    arrivals = load(file)
    assert [arrival.prefix for arrival in arrivals] == [(1, 2, 3), (1, 2, 4), (1, 2, 5)]
    outcome = run_fleet(arrivals, Fixed(1), Setup(MODEL, CACHED, 1, 1))
    assert outcome.result.ttft[1] == pytest.approx(MODEL.prefill(476))

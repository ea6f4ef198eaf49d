"""The engine model: physics, conservation, and equality with a scheduler that does every token by itself."""

from dataclasses import dataclass
from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_model_run import run
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.replay import percentile, replay
from plimsoll.slo.capacity.simulator.request import Limits, Request
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.simulator.traces import Arrival

MODEL = step_time.load("70b-fp8-h100-tp4")


@st.composite
def small_worlds(draw: st.DrawFn) -> tuple[Limits, list[tuple[float, int, int]]]:
    """Draw a replica so small that everything happens, and up to a dozen requests, each of which fits it alone."""
    seqs = draw(st.integers(1, 6))
    limits = Limits(draw(st.integers(8, 30)), draw(st.integers(1, 4)), seqs, seqs + draw(st.integers(0, 20)))
    room = limits.num_blocks * limits.block_size
    lengths = st.tuples(st.integers(1, room - 1), st.integers(1, room - 1)).filter(lambda pair: sum(pair) <= room)
    gaps = st.sampled_from([0.0, 0.0073, 0.0731, 0.731])
    time, rows = 0.0, []
    for gap, (prompt, output) in draw(st.lists(st.tuples(gaps, lengths), min_size=1, max_size=12)):
        time += gap
        rows.append((time, prompt, output))
    return limits, rows


@dataclass(eq=False)
class Plain:
    """A request of the plain scheduler."""

    arrival: float
    prompt: int
    output: int
    computed: int = 0
    tokens: int = 0
    decoding: bool = False
    preemptions: int = 0
    first: float = inf
    last: float = inf

    @property
    def length(self) -> int:
        return self.prompt + self.tokens


class PlainScheduler:
    """The rules of serving.md one token at a time: no clock, no leap, nothing kept that could be counted."""

    def __init__(self, model: StepModel, limits: Limits) -> None:
        self.model, self.limits = model, limits
        self.waiting: list[Plain] = []
        self.running: list[Plain] = []

    def free(self) -> int:
        return self.limits.num_blocks - sum(self.limits.blocks(one.computed) for one in self.running)

    def grow(self, one: Plain, tokens: int) -> int:
        return self.limits.blocks(one.computed + tokens) - self.limits.blocks(one.computed)

    def step(self, now: float) -> float:
        budget, chunks, pushed_out = self.limits.max_num_batched_tokens, [], False
        index = 0
        while index < len(self.running) and budget:
            one = self.running[index]
            tokens = min(one.length - one.computed, budget)
            while one in self.running and self.grow(one, tokens) > self.free():
                victim = self.running.pop()
                victim.computed, victim.decoding, pushed_out = 0, False, True
                victim.preemptions += 1
                self.waiting.insert(0, victim)
            if one in self.running:
                one.computed += tokens
                budget -= tokens
                chunks += [] if one.decoding else [tokens]
                index += 1
        while self.waiting and budget and not pushed_out and len(self.running) < self.limits.max_num_seqs:
            one = self.waiting[0]
            tokens = min(one.length, budget)
            if self.grow(one, tokens) > self.free():
                break
            self.running.append(self.waiting.pop(0))
            one.computed = tokens
            budget -= tokens
            chunks.append(tokens)
        return self.emit(now, chunks)

    def emit(self, now: float, chunks: list[int]) -> float:
        ready = [one for one in self.running if one.computed == one.length]
        rows = [one.length for one in ready if one.tokens]
        prefill = self.model.prefill(len(chunks) * (sum(chunks) // len(chunks))) if chunks else 0.0
        end = now + prefill + (self.model.decode(len(rows), sum(rows) // len(rows)) if rows else 0.0)
        for one in ready:
            one.first = min(one.first, end)
            one.tokens += 1
            one.decoding = True
            if one.tokens == one.output:
                one.last = end
                self.running.remove(one)
        return end


def run_plainly(limits: Limits, rows: list[tuple[float, int, int]]) -> list[Plain]:
    scheduler = PlainScheduler(MODEL, limits)
    requests = [Plain(*row) for row in rows]
    coming, now = list(requests), 0.0
    while coming or scheduler.running or scheduler.waiting:
        if not scheduler.running and not scheduler.waiting:
            now = max(now, coming[0].arrival)
        while coming and coming[0].arrival <= now:
            scheduler.waiting.append(coming.pop(0))
        now = scheduler.step(now)
    return requests


@given(small_worlds(), st.sampled_from([0.0, 0.05, inf]))
def test_every_request_gets_its_tokens_when_a_scheduler_without_leaps_would_give_them(
    world: tuple[Limits, list[tuple[float, int, int]]], longest_leap: float
) -> None:
    limits, rows = world
    requests = [Request(*row) for row in rows]
    run(Engine(MODEL, limits), requests, longest_leap)
    for got, expected in zip(requests, run_plainly(limits, rows), strict=True):
        assert got.first_token == pytest.approx(expected.first)
        assert got.finished == pytest.approx(expected.last)
        assert got.preemptions == expected.preemptions


@given(small_worlds())
def test_requests_blocks_and_tokens_are_conserved(world: tuple[Limits, list[tuple[float, int, int]]]) -> None:
    limits, rows = world
    replica = Engine(MODEL, limits)
    requests = [Request(*row) for row in rows]
    done = run(replica, requests)
    assert [request.finished is not None for request in requests] == [True] * len(requests)
    assert sorted(map(id, (request for step in done for request in step.finished))) == sorted(map(id, requests))
    assert replica.free_blocks == limits.num_blocks
    tokens = sum(step.decodes * step.count + len(step.first_tokens) + len(step.resumed) for step in done)
    assert tokens == sum(request.output for request in requests)
    for step in done:
        assert 0 <= step.blocks <= limits.num_blocks
        assert step.running <= limits.max_num_seqs
        assert step.prompt_tokens + step.decodes <= limits.max_num_batched_tokens
        assert sum(step.durations()) == pytest.approx(step.end - step.start)
    for before, after in pairwise(done):
        assert after.start >= before.end


@given(small_worlds(), st.integers(0, 11), st.floats(0, 1))
def test_a_client_that_leaves_takes_nothing_with_it(
    world: tuple[Limits, list[tuple[float, int, int]]], which: int, when: float
) -> None:
    limits, rows = world
    replica = Engine(MODEL, limits)
    requests = [Request(0.0, prompt, output) for _, prompt, output in rows]
    for request in requests:
        replica.add(request)
    gone = requests[which % len(requests)]
    now = 0.0
    while replica.busy:
        now = replica.step(now, now + 0.02).end
        if now >= when and gone.finished is None and (gone in replica.running or gone in replica.waiting):
            replica.abort(gone)
    assert [request.finished is None for request in requests if request is not gone] == [False] * (len(requests) - 1)
    assert replica.free_blocks == limits.num_blocks


@pytest.mark.parametrize("prompt", [1, 500, 8192])
def test_a_lone_request_waits_for_its_prompt_and_then_for_one_decode_step_a_token(prompt: int) -> None:
    request = Request(3.0, prompt, 3)
    run(Engine(MODEL, Limits()), [request])
    assert request.ttft == pytest.approx(MODEL.prefill(prompt))
    assert request.tpot == pytest.approx((MODEL.decode(1, prompt + 1) + MODEL.decode(1, prompt + 2)) / 2)


def test_a_prompt_longer_than_the_budget_is_computed_in_chunks() -> None:
    request = Request(0.0, 8193, 1)
    run(Engine(MODEL, Limits()), [request])
    assert request.ttft == pytest.approx(MODEL.prefill(8192) + MODEL.prefill(1))
    assert request.tpot == 0.0


def test_a_long_prompt_delays_the_tokens_of_those_that_decode() -> None:
    alone, delayed = Request(0.0, 100, 50), Request(0.0, 100, 50)
    run(Engine(MODEL, Limits()), [alone])
    run(Engine(MODEL, Limits()), [delayed, Request(0.2, 8000, 1)])
    assert alone.tpot is not None and delayed.tpot is not None
    assert (delayed.tpot - alone.tpot) * 49 == pytest.approx(MODEL.prefill(8000))


def test_more_load_never_lowers_latency() -> None:
    def felt(rate: float) -> tuple[float, ...]:
        arrivals = [Arrival(index / rate, 300 + 811 * index % 1700, 20 + 97 * index % 280) for index in range(600)]
        result = replay(arrivals, 1, MODEL, Limits())
        whole = [(request.finished or inf) - request.arrival for request in result.requests]
        return tuple(percentile(values, share) or 0.0 for values in (result.ttft, whole) for share in (0.5, 0.95))

    for calm, busy in pairwise([felt(rate) for rate in (0.1, 1.0, 4.0, 8.0, 16.0, 32.0)]):
        assert all(a <= b * (1 + 1e-9) for a, b in zip(calm, busy, strict=True)), (calm, busy)


def test_a_full_cache_lets_prompts_wait_and_pushes_nobody_out() -> None:
    limits = Limits(num_blocks=100)  # 1,600 tokens: two of these requests
    requests = [Request(0.0, 700, 90) for _ in range(6)]
    done = run(Engine(MODEL, limits), requests)
    assert max(step.running for step in done) == 2
    assert max(step.blocks for step in done) <= 100
    assert sum(request.preemptions for request in requests) == 0
    assert sorted(request.finished or inf for request in requests) == [request.finished for request in requests]


def test_a_cache_that_fills_by_decoding_pushes_out_the_newest_which_is_computed_anew() -> None:
    limits = Limits(num_blocks=100)
    oldest, newest = requests = [Request(0.0, 700, 200) for _ in range(2)]
    done = run(Engine(MODEL, limits), requests)
    assert (oldest.preemptions, newest.preemptions) == (0, 1)
    assert [request for step in done for request in step.resumed] == [newest]
    assert sum(step.prompt_tokens for step in done) > 3 * 700
    assert max(step.blocks for step in done) == 100


def test_the_batch_never_exceeds_its_limit_and_the_queue_drains_in_order_of_arrival() -> None:
    requests = [Request(0.001 * index, 50, 30) for index in range(40)]
    done = run(Engine(MODEL, Limits(max_num_seqs=8)), requests)
    assert max(step.running for step in done) == 8
    starts = [request.scheduled or 0.0 for request in requests]
    assert starts == sorted(starts) and starts[-1] > starts[0]


def test_equal_steps_are_taken_in_one_leap_and_end_at_the_first_after_the_given_time() -> None:
    replica = Engine(MODEL, Limits())
    replica.add(Request(0.0, 100, 1000))
    now = replica.step(0.0, inf).end
    leap = replica.step(now, now + 1.0)
    durations = leap.durations()
    assert leap.count > 50
    assert leap.end >= now + 1.0 > leap.end - durations[-1]
    assert durations == pytest.approx([MODEL.decode(1, 101 + index) for index in range(leap.count)])


@pytest.mark.parametrize(("prompt", "output", "fits"), [(1000, 600, True), (1000, 601, False)])
def test_what_could_never_fit_is_refused(prompt: int, output: int, fits: bool) -> None:
    replica, request = Engine(MODEL, Limits(num_blocks=100)), Request(0.0, prompt, output)
    assert replica.fits(request) is fits
    if not fits:
        with pytest.raises(ValueError, match=r"1000\+601 tokens can never run"):
            replica.add(request)


def test_limits_that_vllm_refuses_are_refused() -> None:
    with pytest.raises(ValueError, match="max_num_batched_tokens must be at least max_num_seqs"):
        Limits(max_num_seqs=257, max_num_batched_tokens=256)
    with pytest.raises(ValueError, match="at least 1"):
        Limits(num_blocks=0)

"""Calibration against an engine whose step times are known, and against too little to know anything."""

from dataclasses import replace

import pytest

from slo.capacity.calibrate import ENOUGH, calibrate, intervals
from slo.capacity.node import Node
from slo.capacity.request import Limits, Request
from slo.capacity.signals import ReplicaSignals
from slo.capacity.steps import load

MODEL, LIMITS = load("8b-bf16-h100-tp1"), Limits()
CAPACITY = LIMITS.num_blocks * LIMITS.block_size


def observed(batches: tuple[int, ...], seconds: float = 20.0) -> ReplicaSignals:
    """Scrape a simulated engine every 2 s while it serves one batch after the other."""
    node, now = Node("a", MODEL, LIMITS, 0.0), 0.0
    node.sample(now)
    for batch in batches:
        node.advance(now)
        requests = [Request(now, 200, 100_000 // len(batches)) for _ in range(batch)]
        for request in requests:
            node.add(request)
        end = now + seconds
        while now < end:
            now += 2.0
            node.sample(now)
        for request in requests:
            node.engine.abort(request)
    found = node.signals(now)
    assert found is not None
    return found


def test_the_engines_own_step_times_are_found_and_hold_for_batches_that_were_not_seen() -> None:
    found = calibrate([observed((1, 4, 16, 64))], CAPACITY)
    assert found is not None
    assert found.intervals >= ENOUGH
    assert found.r_squared > 0.99
    for batch, context in ((8, 1000), (32, 500), (100, 1500)):
        assert found.tpot(batch, context) == pytest.approx(MODEL.decode(batch, context), rel=0.05)


def test_one_batch_alone_says_nothing_about_others() -> None:
    assert calibrate([observed((8,), 60.0)], CAPACITY) is None
    assert calibrate([observed((8, 16), 60.0)], CAPACITY) is None
    assert calibrate([observed((8, 16, 32), 60.0)], CAPACITY) is not None
    assert calibrate([], CAPACITY) is None


def test_intervals_that_computed_prompts_restarted_or_stood_still_are_left_out() -> None:
    steady = observed((4,), 20.0)
    whole = len(list(intervals(steady, CAPACITY)))
    last = steady.generation_tokens[-1][0]

    def changed(name: str, value: float) -> int:
        samples = [(at, value if at == last else old) for at, old in getattr(steady, name)]
        return len(list(intervals(replace(steady, **{name: samples}), CAPACITY)))  # type: ignore[arg-type]

    assert changed("prompt_tokens", 1e6) == whole - 1
    assert changed("generation_tokens", 0.0) == whole - 1
    assert changed("running", 0.0) == whole - 1
    assert changed("running", 8.0) == whole - 1

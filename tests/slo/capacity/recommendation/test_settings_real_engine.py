"""A real vLLM that was started with a setting that hurts: the advice names it (tests/benchmarks/bench_settings.py measures the change)."""

import asyncio

import pytest

from overloaded_engine import HURTS, Watched, overloaded, started
from real_server import Unavailable

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]
OVERLOAD = 2.5  # times as fast as answers


@pytest.mark.parametrize("setting", HURTS)
def test_the_setting_that_hurts_is_named(setting: str) -> None:
    limits, shape = HURTS[setting]
    try:
        with started(limits) as engine:
            advice = asyncio.run(overloaded(Watched(engine), shape, OVERLOAD)).advice
    except Unavailable as why:
        pytest.skip(f"no real engine: {why}")
    assert advice.observed == limits | {"kv_cache_bits": 32}
    assert advice.changes, advice
    best = advice.changes[0]
    assert (best.setting, best.current) == (setting, str(limits[setting]))
    assert int(best.proposed) > limits[setting] and best.certainty == "extrapolated"

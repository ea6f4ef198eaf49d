"""Scale to zero: exact cold starts, waits and node-hours on known arrivals, the same as second by second, and unknown time never saves."""

from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from random import Random

import msgspec
import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.whatif.scale_to_zero import IdleOption, ZeroCost, cold_starts, scale_to_zero
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.node_pricing import Node, OwnedHardware, Reserved
from plimsoll.slo.spec.objectives import Pool, load
from plimsoll.slo.usage.slots import PoolSlot
from pool_signals import POOL
from world import SPEC_TEXT, World

TARGET = LatencyTarget(2.0, 0.2, 0.95)
DAY, SLOT, WEEK = 86_400, 300, 604_800
PRICED = msgspec.structs.replace(POOL, node=Node("H100-80GB", 1, hourly_usd=4.0))


def test_each_request_after_the_idle_time_starts_a_node_and_waits_for_it() -> None:
    arrivals = [(10.0, 1.0), (400.0, 1.0), (450.0, 2.0), (549.0, 1.0), (700.0, 1.0), (2000.0, 1.0)]
    # Idle after 310 s, served again at 550 s; idle from 1000 s, served again at 2150 s; idle from 2450 s.
    found = cold_starts(arrivals, 0.0, 3000.0, 300.0, 150.0, 2.0)
    assert found == ZeroCost(2, 1 + 2 + 1 + 1, 1 + 2 + 0 + 1, 90.0 + 1000.0 + 550.0)
    assert cold_starts([], 0.0, 1000.0, 300.0, 150.0, 2.0) == ZeroCost(0, 0, 0, 700.0)
    assert cold_starts([(300.0, 1.0)], 0.0, 500.0, 300.0, 150.0, 2.0) == ZeroCost(), "in time for the last second"


def by_the_second(times: set[int], end: int, idle: int, cold_start: int, allowed: int) -> ZeroCost:
    """A clock that ticks: the node is up, off, or starting until a moment."""
    starts = waiting = late = stopped = 0
    serves, last = 0, 0
    off = False
    for now in range(end):
        if now in times:
            if off:
                off, starts, serves = False, starts + 1, now + cold_start
            waiting += now < serves
            late += serves - now > allowed
            last = max(now, serves)
        elif not off and now >= last + idle:
            off = True
        stopped += off
    return ZeroCost(starts, waiting, late, stopped)


@pytest.mark.parametrize("seed", range(20))
def test_random_arrivals_cost_what_a_clock_counts(seed: int) -> None:
    random = Random(seed)  # noqa: S311 - a simulation
    times = set(random.sample(range(20_000), random.choice([3, 30, 300])))
    idle, cold_start, allowed = random.randint(10, 600), random.randint(1, 300), random.randint(0, 60)
    exact = cold_starts([(float(at), 1.0) for at in sorted(times)], 0.0, 20_000.0, idle, cold_start, allowed)
    assert astuple(exact) == astuple(by_the_second(times, 20_000, idle, cold_start, allowed))


def option(
    pool: Pool, arrivals: Sequence[int | None], idle: float = 300.0, target: LatencyTarget = TARGET
) -> IdleOption:
    found = scale_to_zero(pool, [(index * SLOT, count) for index, count in enumerate(arrivals)], target)
    assert found is not None
    return next(one for one in found.options if one.idle_seconds == idle)


OFFICE = [200 if 8 * 12 <= slot % 288 < 18 * 12 else 0 for slot in range(7 * 288)]  # by five minutes, every day


def test_a_pool_of_office_hours_saves_its_nights_for_one_cold_start_a_day() -> None:
    found = option(PRICED, OFFICE)
    assert found.cold_starts == 7
    assert found.saved_node_hours == pytest.approx(7 * 14 - 8 * 300 / 3600, abs=1.0), "each night, less the idle time"
    assert found.saved_usd == pytest.approx(4.0 * found.saved_node_hours)
    assert found.waiting_requests == pytest.approx(7 * 200 * 150 / 300, rel=0.2), "as many as come in a cold start"
    assert found.late_ratio == pytest.approx(found.late_requests / sum(filter(None, OFFICE)))
    assert found.within_objective is True, "0.4 % of the requests, and 5 % may be late"
    assert option(PRICED, OFFICE, target=replace(TARGET, target=0.999)).within_objective is False
    assert option(PRICED, OFFICE, target=replace(TARGET, ttft=float("inf"))).within_objective is None


def test_a_longer_idle_time_saves_less_and_delays_fewer() -> None:
    now_and_then: list[int | None] = [1 if slot % 4 == 0 else 0 for slot in range(7 * 288)]
    short, middle, long = (option(PRICED, now_and_then, idle) for idle in (300.0, 900.0, 3600.0))
    assert short.cold_starts > middle.cold_starts > long.cold_starts == 0
    assert short.saved_node_hours > middle.saved_node_hours > long.saved_node_hours == 0
    assert short.within_objective is False and long.within_objective is True


def test_time_without_data_saves_nothing_and_less_than_a_day_is_no_answer() -> None:
    gone = [None if count == 0 else count for count in OFFICE]
    assert (option(PRICED, gone).cold_starts, option(PRICED, gone).saved_node_hours) == (0, 0)
    assert scale_to_zero(PRICED, [(index * SLOT, 0) for index in range(287)], TARGET) is None
    missing = [(index * SLOT, 0) for index in range(4 * 288) if index % 2]  # no two slots in a row
    found = scale_to_zero(PRICED, missing, TARGET)
    assert found is not None and all(one.saved_node_hours == 0 for one in found.options)


def test_two_days_stand_for_a_week() -> None:
    assert option(PRICED, OFFICE[: 2 * 288]).cold_starts == 7
    assert option(PRICED, OFFICE[: 2 * 288]).saved_node_hours == pytest.approx(
        option(PRICED, OFFICE).saved_node_hours, rel=0.02
    )


def test_what_is_paid_anyway_saves_no_money() -> None:
    reserved = Node("H100-80GB", 1, hourly_usd=4.0, reserved=Reserved(1))
    owned = Node("H100-80GB", 1, owned=OwnedHardware(100_000, 5, 1, 1.2, 0.2))
    for node in (reserved, owned, Node("H100-80GB", 1)):
        assert option(msgspec.structs.replace(POOL, node=node), OFFICE).saved_usd is None


def test_api_and_page_answer_from_the_recorded_arrivals(tmp_path: Path, open_ledger: Callable[[str], Ledger]) -> None:
    ledger, now = open_ledger(f"sqlite:///{tmp_path}/zero.db"), 1_700_000_400
    start = (now - WEEK) // SLOT * SLOT + SLOT
    ledger.record(
        {},
        0,
        {
            "pool": [
                PoolSlot(start + index * SLOT, 300.0, arrivals=1 if index % 48 == 0 else 0) for index in range(2000)
            ]
        },
    )
    asked: dict[str, str | int] = {"replica": "70b-fp8-h100-tp4", "output_tokens": 5, "concurrency": 1}
    text = SPEC_TEXT.replace("model: m", "model: meta-llama/Llama-3.3-70B-Instruct")
    client = TestClient(create_app(Service(load(text), World({}, {}), ledger, lambda: float(now))))
    found = client.get("/api/v1/pools/pool/whatif", params=asked).json()["scale_to_zero"]
    assert found["observed_days"] == pytest.approx(2000 / 288, abs=0.01)
    assert found["options"][0]["cold_starts"] == pytest.approx(41, abs=2)
    assert found["options"][0]["within_objective"] is False
    assert "Exceeds its error budget" in client.get("/pools/pool/whatif", params=asked).text

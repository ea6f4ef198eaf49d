"""A system clock that jumps by days and back: the service goes on by itself, and stores nothing of a time that is not."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from faketime import FakeTime
from live_exporter import LiveExporter, objectives
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.documents import save_measured_state
from plimsoll.slo.ledger.ingest import LATE
from plimsoll.slo.ledger.retention import pull_back_marks
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pools_recorded_until
from plimsoll.slo.reports.measured_states import newest_state
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.system_clock import HOLD_SECONDS, JUMP_SECONDS, SystemClock
from plimsoll.slo.sli.increments import MAX_GAP, SlotCount
from process import Command
from service_world import NOW, world
from stack import free_port, wait_for
from world import spec

DAYS = 3 * 86400.0


class Times:
    """A system clock and the time that passes, both moved by hand."""

    def __init__(self) -> None:
        self.wall, self.passed = 1_700_000_000.0, 50.0
        self.clock = SystemClock(lambda: self.wall, lambda: self.passed)

    def go(self, seconds: float) -> float:
        self.wall, self.passed = self.wall + seconds, self.passed + seconds
        return self.clock()


@pytest.mark.parametrize("jump", [DAYS, -DAYS, JUMP_SECONDS, -JUMP_SECONDS])
def test_a_jump_is_not_followed_before_it_has_held(jump: float) -> None:
    times = Times()
    began = times.clock()
    times.wall += jump
    assert (times.clock(), times.clock.jump) == (began, jump)
    assert times.go(HOLD_SECONDS - 1) == began + HOLD_SECONDS - 1
    assert times.go(1) == began + HOLD_SECONDS + jump
    assert times.clock.jump == 0


@pytest.mark.parametrize("jump", [DAYS, -DAYS])
def test_a_clock_that_jumps_and_comes_back_is_never_followed(jump: float) -> None:
    times = Times()
    began = times.clock()
    for second in range(20):
        times.wall += jump
        assert times.go(HOLD_SECONDS / 2) == began + (second + 0.5) * HOLD_SECONDS
        times.wall -= jump
        assert times.go(HOLD_SECONDS / 2) == began + (second + 1) * HOLD_SECONDS
        assert times.clock.jump == 0


def test_small_steps_are_followed_at_once() -> None:
    times = Times()
    for step in (0.5, -0.5, JUMP_SECONDS - 1, 1 - JUMP_SECONDS):
        times.wall += step
        assert (times.clock(), times.clock.jump) == (times.wall, 0)


def test_marks_of_the_future_are_set_back_and_what_they_hid_is_recorded(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    ledger, final = open_ledger(database), NOW - LATE - MAX_GAP
    ledger.record({("fast", "hash"): []}, int(NOW + DAYS), {"pool": []})
    # Stopped after its clock was right again, and started once time had passed the mark: nothing before it would be looked at.
    pull_back_marks(ledger.engine, NOW, final)
    assert (ledger.recorded_until(), pools_recorded_until(ledger.engine)) == ({"fast": 0}, {"pool": 0})
    slot = int(NOW) // SLOT * SLOT
    ledger.record({("fast", "hash"): [SlotCount(slot - 6000, 1, 1, 300.0, "per_request")]}, int(NOW + DAYS))
    pull_back_marks(ledger.engine, NOW, final)
    assert ledger.recorded_until() == {"fast": slot - 6000}
    ledger.record({("fast", "hash"): [SlotCount(slot - 300, 1, 1, 300.0, "per_request")]}, int(NOW + DAYS))
    pull_back_marks(ledger.engine, NOW, final)
    assert ledger.recorded_until() == {"fast": int(final)}
    pull_back_marks(ledger.engine, final, final)
    assert ledger.recorded_until() == {"fast": int(final)}, "a mark of now stays"


def test_a_ledger_that_was_recorded_ahead_is_recorded_from_now(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    now = [NOW + DAYS]
    service = Service(spec(), world(), open_ledger(database), clock=lambda: now[0])
    service.ingest()
    now[0] = NOW
    service.ingest()
    assert service.not_ready_reasons() == []
    (budget,) = service.evaluated().budgets.values()
    assert (budget.counted.good, budget.counted.total) == (960, 1000)
    assert service.ledger.recorded_until()["fast"] <= NOW
    service.leader.resign()


def test_a_measured_state_of_the_future_is_not_the_newest(database: str, open_ledger: Callable[[str], Ledger]) -> None:
    ledger = open_ledger(database)
    state = '{"at": %d, "recommended_nodes": 2, "throughput": null}'
    save_measured_state(ledger.engine, "pool", NOW + 1, state % (NOW + 1))
    assert newest_state(ledger, "pool", NOW) is None
    assert newest_state(ledger, "pool", NOW + 1) is not None


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("jump", ["+3d", "-3d"])
def test_a_real_service_goes_on_through_a_jump_and_after_it(jump: str, tmp_path: Path) -> None:
    clock, port = FakeTime(tmp_path / "time"), free_port()
    url = f"http://127.0.0.1:{port}/-/ready"

    def samples() -> list[float]:
        with closing(sqlite3.connect(tmp_path / "ledger.db")) as database:
            return [
                at / 1000 for (at,) in database.execute("SELECT DISTINCT at_ms FROM scraped_samples ORDER BY at_ms")
            ]

    def scrape() -> None:
        before = samples()
        wait_for(lambda: len(samples()) > len(before) + 1, "two more scrapes")

    with LiveExporter() as exporter:
        options = ["--objectives", objectives(tmp_path), "--db", f"sqlite:///{tmp_path}/ledger.db"]
        listen = ["--listen", f"127.0.0.1:{port}"]
        command = ["serve", "--source", f"scrape:{exporter.url}", *options, *listen]
        with Command(tmp_path / "log", *command, ready=url, env=clock.env):
            scrape()
            for by, status in ((jump, 503), ("+0", 200), (jump, 503), ("+0", 200)):
                clock.move(by)
                scrape()
                wait_for(lambda: httpx.get(url, trust_env=False).status_code == status, f"{status} after {by}")  # noqa: B023
            stored = samples()
    assert max(abs(at - time.time()) for at in stored) < 200, "all are of the time of this test"
    assert max(after - before for before, after in pairwise(stored)) < 15, "and without a hole"

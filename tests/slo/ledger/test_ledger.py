"""The ledger: whatever order things happen in, one and the same truth; and nothing stored is lost."""

import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger_world import END, T0, WORLD, busy_world, rows
from paths import TESTS
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.ingest import LATE, ingest
from plimsoll.slo.ledger.rollup import DAY, HOUR
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.sources import SourceError
from world import Process, World, spec

Opener = Callable[[str], Ledger]
FAST = ("fast", "hash")


def assert_rollups_are_sums_of_slots(ledger: Ledger) -> None:
    slots = ledger.rows("fast", SLOT, 0, 10**12)
    for size in (HOUR, DAY):
        expected: dict[int, list[int]] = {}
        for slot, *values in slots:
            sums = expected.setdefault(slot // size * size, [0, 0, 0, 0])
            sums[:] = [a + b for a, b in zip(sums, values, strict=True)]
        assert {start: values for start, *values in ledger.rows("fast", size, 0, 10**12)} == expected


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    ledger = Ledger(open_database(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/truth.db"))
    world = busy_world()
    for now in range(int(T0), int(END) + 1, 60):
        ingest(spec(), world, ledger, now)
    return rows(ledger)


def test_the_undisturbed_ledger_holds_every_request_that_was_watched(undisturbed: list[tuple[object, ...]]) -> None:
    good, total = sum(int(str(row[1])) for row in undisturbed), sum(int(str(row[2])) for row in undisturbed)
    world = busy_world()
    pages = {replica: [page for page in world.pages() if page[1] == replica and page[0] <= END] for replica in "ab"}
    last_of_first = max(page for page in pages["a"] if page[2] < T0)
    counted = [last_of_first[3], pages["a"][-1][3]]
    hole = (
        [page for page in pages["b"] if page[0] < T0 + 4300][-1][3],
        next(page for page in pages["b"] if page[0] > T0 + 4300)[3],
    )
    final = pages["b"][-1][3]
    assert good == sum(c["good"] for c in counted) + final["good"] - (hole[1]["good"] - hole[0]["good"])
    assert total == sum(sum(c.values()) for c in counted) + sum(final.values()) - sum(hole[1].values()) + sum(
        hole[0].values()
    )


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(
        st.sampled_from(["ingest", "twice", "restart", "outage", "skip", "skip-long"]), min_size=5, max_size=40
    )
)
def test_any_interleaving_of_ingest_restart_outage_and_backfill_gives_one_ledger(
    events: list[str], undisturbed: list[tuple[object, ...]], new_database: Callable[[], str], open_ledger: Opener
) -> None:
    url = new_database()
    ledger, world, now = open_ledger(url), WORLD, T0
    ingest(spec(), world, ledger, now)
    for event in events:
        now = min(END, now + {"skip": 400, "skip-long": 3700}.get(event, 97))
        if event == "restart":
            ledger = open_ledger(url)
        world.down = event == "outage"
        if world.down:
            with pytest.raises(SourceError):
                ingest(spec(), world, ledger, now)
            world.down = False
        elif not event.startswith("skip"):
            ingest(spec(), world, ledger, now)
            if event == "twice":
                ingest(spec(), world, ledger, now)
    ingest(spec(), world, ledger, END)
    assert rows(ledger) == undisturbed
    assert_rollups_are_sums_of_slots(ledger)


def test_late_samples_are_booked_when_they_arrive(
    database: str, open_ledger: Opener, undisturbed: list[tuple[object, ...]]
) -> None:
    ledger, world = open_ledger(database), busy_world()
    full = world.scrapes["b"]
    world.scrapes["b"] = [at for at in full if at < END - LATE + 60]
    for now in range(int(T0), int(END) + 1, 60):
        ingest(spec(), world, ledger, now)
    assert rows(ledger) != undisturbed
    world.scrapes["b"] = full
    ingest(spec(), world, ledger, END)
    assert rows(ledger) == undisturbed


def test_a_source_that_has_begun_to_forget_does_not_overwrite_what_is_known(database: str, open_ledger: Opener) -> None:
    ledger = open_ledger(database)
    ledger.record({FAST: [SlotCount(300, 90, 100, 300.0, "per_request")]}, 0)
    ledger.record({FAST: [SlotCount(300, 3, 5, 40.0, "per_request")]}, 0)
    assert (row := ledger.slots("fast", 0, 1e9)[0]).total == 100
    ledger.record({FAST: [SlotCount(300, 95, 101, 300.0, "per_request")]}, 0)
    assert (row := ledger.slots("fast", 0, 1e9)[0]).total == 101, row


def test_unobserved_slots_are_absent_not_zero(database: str, open_ledger: Opener) -> None:
    ledger = open_ledger(database)
    world = World(
        {"a": [Process(T0 - 86400, [])]},
        {"a": [T0 + 15 * i for i in range(40)] + [T0 + 5000 + 15 * i for i in range(40)]},
    )
    ingest(spec(), world, ledger, END)
    booked = {row.slot for row in ledger.slots("fast", 0, 1e12)}
    assert int(T0) in booked
    assert int(T0) + 5 * SLOT not in booked


def test_progress_does_not_go_back_and_old_slots_are_not_read_again(database: str, open_ledger: Opener) -> None:
    ledger, world = open_ledger(database), busy_world()
    ingest(spec(), world, ledger, END)
    first = ledger.recorded_until()["fast"]
    world.reads = 0
    ingest(spec(), world, ledger, END + 10)
    assert ledger.recorded_until()["fast"] >= first
    assert world.reads == 1


KILLED = """
import sys, os, signal
sys.path.insert(0, {root!r})
from ledger_world import WORLD, T0
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from world import spec
from plimsoll.slo.ledger.ingest import ingest
import plimsoll.slo.ledger.slots as store
ledger = Ledger(open_database({url!r}))
left = [{commits}]
book = store.Ledger.record
def dying(self, *args):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    book(self, *args)
store.Ledger.record = dying
for now in range(int(T0), int(T0) + 7201, 60):
    ingest(spec(), WORLD, ledger, now)
"""


@pytest.mark.parametrize("commits", [0, 1, 37])
def test_a_killed_service_loses_nothing(
    commits: int, database: str, open_ledger: Opener, undisturbed: list[tuple[object, ...]]
) -> None:
    script = KILLED.format(root=str(TESTS / "worlds"), url=database, commits=commits)
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == -9
    ledger = open_ledger(database)
    ingest(spec(), WORLD, ledger, END)
    assert rows(ledger) == undisturbed

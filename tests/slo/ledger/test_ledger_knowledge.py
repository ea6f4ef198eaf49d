"""Better knowledge is never overwritten: whatever part of the truth comes first, the ledger ends with the best that was ever told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from ledger_world import END, T0, busy_world, rows
from plimsoll.slo.calendar import SLOT, slot_of
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.ingest import LATE, ingest
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.sources import Series
from plimsoll.slo.usage.slots import PoolSlot
from recorded import Recorded
from world import spec

Opener = Callable[[str], Ledger]
FAST = ("fast", "hash")
NOW = T0 + 1500  # while the first four slots may still change
OPEN = [int(T0) + SLOT * i for i in range(1, 4)]
WHOLE = [
    Series(name, labels, [s for s in samples if T0 - 600 < s[0] <= NOW])
    for name, labels, samples in busy_world().all_series()
]
quick = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])


def booked(ledger: Ledger) -> dict[int, tuple[int, int, float]]:
    return {one.slot: (one.good, one.total, one.covered_seconds) for one in ledger.slots("fast", OPEN[0], OPEN[-1] + 1)}


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[int, int, float]]:
    alone = Ledger(open_database(f"sqlite:///{tmp_path_factory.mktemp('ledger')}/truth.db"))
    ingest(spec(), Recorded(WHOLE), alone, NOW)
    found = booked(alone)
    alone.engine.dispose()
    return found


parts = st.lists(st.sets(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 139)), max_size=150), max_size=4)
lost = st.lists(st.sets(st.integers(0, len(WHOLE) - 1)), max_size=4)


@quick
@given(parts=parts, lost=lost, last=st.integers(0, 4))
def test_any_order_of_partial_answers_gives_the_slots_of_the_whole_one(
    parts: list[set[tuple[int, int]]],
    lost: list[set[int]],
    last: int,
    truth: dict[int, tuple[int, int, float]],
    tmp_path: Path,
    open_ledger: Opener,
) -> None:
    """A part lacks single samples, or whole series (a store is down), each in another call; the whole comes before some of them."""
    answers = [
        [
            Series(item.name, item.labels, [s for n, s in enumerate(item.samples) if (i, n) not in gone])
            for i, item in enumerate(WHOLE)
        ]
        for gone in parts
    ]
    answers += [[item for i, item in enumerate(WHOLE) if i not in gone] for gone in lost]
    answers.insert(min(last, len(answers)), WHOLE)
    ledger = open_ledger(f"sqlite:///{tmp_path}/{uuid4()}.db")
    for series in answers:
        ingest(spec(), Recorded(series), ledger, NOW)
    assert booked(ledger) == truth
    assert len(truth) == len(OPEN)


def test_a_store_that_lost_a_replica_does_not_halve_what_is_known(database: str, open_ledger: Opener) -> None:
    ledger = open_ledger(database)
    ingest(spec(), Recorded(WHOLE), ledger, NOW)
    before, usage = rows(ledger), pool_rows(ledger.engine, "pool", 0, 1e12)
    half = [item for item in WHOLE if item.labels["replica"] == "a"]
    ingest(spec(), Recorded(half), ledger, NOW)
    assert (rows(ledger), pool_rows(ledger.engine, "pool", 0, 1e12)) == (before, usage)
    assert any(slot.total > 0 for slot in ledger.slots("fast", 0, 1e12))


COUNTS: list[tuple[dict[str, object], bool]] = [
    ({"total": 399}, False),  # equal cover, smaller total
    ({"total": 401}, True),
    ({"good": 359}, False),
    ({"good": 361}, True),
    ({"covered_seconds": 299.0, "total": 500, "good": 500}, False),
    ({"covered_seconds": 299.0, "scrapes": 41}, True),  # another replica is known, with a gap
    ({"scrapes": 39, "covered_seconds": 300.0, "total": 900}, False),
    ({"source": "lower_bound", "total": 900, "good": 900}, False),
    ({"source": "per_request", "total": 380, "good": 350}, True),
    ({"samples": 81, "total": 390}, True),  # a late sample moved requests to the slot before
    ({"samples": 79, "total": 500}, False),
    ({"scrapes": None, "total": 399}, False),
    ({"scrapes": None, "total": 401}, True),
]


def test_which_of_two_counts_of_a_slot_is_kept(database: str, open_ledger: Opener) -> None:
    one = SlotCount(600, 360, 400, 299.5, "exact_bucket", scrapes=40, samples=80)
    ledger = open_ledger(database)
    for number, (new, wins) in enumerate(COUNTS):
        other = replace(one, **new)  # type: ignore[arg-type]
        for order in ((one, other), (other, one)):
            name = f"{number}-{order[0] is one}"
            for count in order:
                ledger.record({(name, "hash"): [count]}, 0)
            (kept,) = ledger.slots(name, 0, 1e9)
            best = other if wins else one
            assert (kept.good, kept.total, kept.covered_seconds) == (best.good, best.total, best.covered_seconds), new


@pytest.mark.parametrize(("scrapes", "kept"), [(40, "new"), (39, "old")])
def test_another_definition_replaces_a_count_that_knew_no_more(
    database: str, open_ledger: Opener, scrapes: int, kept: str
) -> None:
    ledger = open_ledger(database)
    ledger.record({("fast", "old"): [SlotCount(600, 360, 400, 300.0, "exact_bucket", scrapes=40, samples=80)]}, 0)
    ledger.record({("fast", "new"): [SlotCount(600, 300, 350, 300.0, "exact_bucket", scrapes=scrapes, samples=80)]}, 0)
    assert ledger.slots("fast", 0, 1e9)[0].spec_hash == kept


def test_a_pools_row_is_replaced_by_one_that_knows_more(database: str, open_ledger: Opener) -> None:
    ledger = open_ledger(database)
    whole = PoolSlot(600, 300.0, finished=400, waiting_max=3.0, replicas=2.0, scrapes=40, samples=200)
    worse = [
        structs.replace(whole, scrapes=20, finished=200, replicas=1.0),
        structs.replace(whole, samples=180, waiting_max=None),
        structs.replace(whole, finished=399),
        structs.replace(whole, covered_seconds=299.0),
    ]
    for row in [*worse, whole, *worse]:
        ledger.record({}, 0, {"pool": [row]})
    assert pool_rows(ledger.engine, "pool", 0, 1e9) == [whole]


def test_a_slot_is_still_counted_again_while_samples_may_come_late() -> None:
    assert slot_of(NOW - LATE) <= OPEN[0] + SLOT
    assert END > NOW

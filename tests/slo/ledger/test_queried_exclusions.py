"""Exclusions by query: the slots in which it had a result are stored when they are recorded, with creator and reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ledger_world import END, T0, WORLD
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.evaluation import evaluate
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.manual_changes import audit_events, cancel, stored_exclusions
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import SpecError, load
from world import SPEC_TEXT

ITEM = '{query: "kube_node_spec_unschedulable == 1", pool: pool, created_by: ann, reason: node maintenance}'
SPEC = load(f"{SPEC_TEXT}\nexclusions:\n  - {ITEM}\n")
FIRST = int(T0) + 4 * SLOT


@dataclass
class Maintained:
    """The world, and a query that has a result in some slots."""

    name: str = "world"
    slots: list[int] = field(default_factory=lambda: [FIRST, FIRST + SLOT])
    rejects: bool = False

    def series(self, selectors: Sequence[Selector], start: float, end: float) -> list[Series]:
        return WORLD.series(selectors, start, end)

    def earliest(self, since: float, now: float) -> float:
        return WORLD.earliest(since, now)

    def slots_with_result(self, query: str, start: int, end: int) -> list[int]:
        assert query == "kube_node_spec_unschedulable == 1"
        if self.rejects:
            raise SourceError("world: query rejected (400): parse error")
        return [slot for slot in self.slots if start <= slot < end]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    found = Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db"))
    yield found
    found.engine.dispose()


def excluded_seconds(ledger: Ledger) -> float:
    [budget] = evaluate(ledger, SPEC.objectives, stored_exclusions(ledger.engine), END)
    return budget.excluded_seconds


def test_slots_are_excluded_once_and_stay_so_when_the_source_forgets(ledger: Ledger) -> None:
    source = Maintained()
    assert ingest(SPEC, source, ledger, END) == []
    found = sorted(stored_exclusions(ledger.engine), key=lambda one: one.start)
    assert [(one.start, one.end) for one in found] == [(FIRST, FIRST + SLOT), (FIRST + SLOT, FIRST + 2 * SLOT)]
    assert {(one.origin, one.created_by, one.reason, one.pool) for one in found} == {
        ("query", "ann", "node maintenance", "pool")
    }
    assert {one["action"] for one in audit_events(ledger.engine, None, 9)} == {"exclusion added"}
    assert excluded_seconds(ledger) == 2 * SLOT
    source.slots = [FIRST + SLOT]
    ingest(SPEC, source, ledger, END)
    assert excluded_seconds(ledger) == 2 * SLOT


def test_one_that_a_person_canceled_stays_canceled(ledger: Ledger) -> None:
    ingest(SPEC, Maintained(slots=[FIRST]), ledger, FIRST + 2 * SLOT)
    [stored] = stored_exclusions(ledger.engine)
    cancel(ledger.engine, stored.id or "", "bob", "users were served", END)
    ingest(SPEC, Maintained(slots=[FIRST]), ledger, FIRST + 2 * SLOT)
    assert [one.canceled_at for one in stored_exclusions(ledger.engine)] == [END]


def test_the_current_slot_waits_until_it_is_over(ledger: Ledger) -> None:
    ingest(SPEC, Maintained(slots=[FIRST]), ledger, FIRST + 200)
    assert stored_exclusions(ledger.engine) == []


@pytest.mark.parametrize("source", [WORLD, Maintained(rejects=True)], ids=["no queries", "rejected"])
def test_what_cannot_be_asked_is_a_problem_and_is_counted(source: Maintained, ledger: Ledger) -> None:
    [problem] = ingest(SPEC, source, ledger, END)
    assert (problem.code, problem.pool) == ("exclusion_not_read", "pool")
    assert stored_exclusions(ledger.engine) == []
    assert sum(one.total for one in ledger.slots("fast", 0, 1e12)) > 1000


@pytest.mark.parametrize(
    "item",
    [
        "{created_by: ann, reason: x}",
        "{from: 2026-11-21T02:00:00Z, created_by: ann, reason: x}",
        '{query: "up == 0", from: 2026-11-21T02:00:00Z, to: 2026-11-21T03:00:00Z, created_by: ann, reason: x}',
        '{query: "up == 0", recurrence: {rule: FREQ=DAILY}, created_by: ann, reason: x}',
        '{query: "", created_by: ann, reason: x}',
    ],
)
def test_an_exclusion_has_a_time_or_a_query(item: str) -> None:
    with pytest.raises(SpecError, match=r"exclusions\[0\]"):
        load(f"{SPEC_TEXT}\nexclusions:\n  - {item}\n")

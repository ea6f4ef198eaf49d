"""What no slot can be is refused at the door of the ledger, by the database too, and an old ledger that holds it still opens."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from sqlalchemy import create_engine, insert, select, text
from sqlalchemy.exc import IntegrityError

from plimsoll.slo.ledger.database import migrations, writing
from plimsoll.slo.ledger.invariants import MOST
from plimsoll.slo.ledger.rollup import DAY, HOUR
from plimsoll.slo.ledger.schema import impossible_rows, pool_slots, rollups, slots
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.usage.slots import PoolSlot

Opener = Callable[[str], Ledger]


@pytest.fixture
def ledger(tmp_path: Path, open_ledger: Opener) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path}/ledger.db")


T0 = 1_700_006_400
GOOD: dict[str, Any] = {
    "slot": T0,
    "good": 9,
    "total": 10,
    "covered_seconds": 300.0,
    "source": "per_request",
    "indeterminate": 1,
}
EDGES: list[dict[str, Any]] = [
    {},
    {"good": 0, "total": 0, "indeterminate": 0},
    {"covered_seconds": 0.001},
    {"total": MOST},
    {"slot": T0 + 300},
]
IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"good": 10}, "impossible_counts"),
    ({"good": 11, "indeterminate": 0}, "impossible_counts"),
    ({"good": -1}, "out_of_range"),
    ({"indeterminate": -1}, "out_of_range"),
    ({"total": MOST + 1}, "out_of_range"),
    ({"covered_seconds": 300.001}, "impossible_cover"),
    ({"covered_seconds": -0.001}, "impossible_cover"),
    ({"covered_seconds": nan}, "impossible_cover"),
    ({"covered_seconds": inf}, "impossible_cover"),
    ({"slot": T0 + 1}, "slot_off_grid"),
    ({"slot": -300}, "slot_off_grid"),
]


@pytest.mark.parametrize("change", EDGES, ids=str)
def test_what_can_be_is_stored(ledger: Ledger, change: dict[str, Any]) -> None:
    assert ledger.record({("fast", "hash"): [SlotCount(**GOOD | change)]}, 0) == []
    assert len(ledger.slots("fast", 0, 1e12)) == 1


@pytest.mark.parametrize(("change", "code"), IMPOSSIBLE, ids=str)
def test_what_can_not_be_costs_its_slot_and_nothing_else(ledger: Ledger, change: dict[str, Any], code: str) -> None:
    fine = SlotCount(T0 + 600, 1, 2, 300.0, "per_request")
    (problem,) = ledger.record({("fast", "hash"): [SlotCount(**GOOD | change), fine]}, T0 + 900)
    assert (problem.code, problem.objective, problem.slot) == (code, "fast", (GOOD | change)["slot"])
    assert [slot.slot for slot in ledger.slots("fast", -1e12, 1e12)] == [T0 + 600]
    assert ledger.recorded_until() == {"fast": T0 + 900}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"errors": 11}, "impossible_counts"),
        ({"finished": -1, "errors": None}, "out_of_range"),
        ({"output_tokens": MOST + 1}, "out_of_range"),
        ({"waiting_max": nan}, "out_of_range"),
        ({"kv_cache_usage_max": 1.02}, "out_of_range"),
        ({"covered_seconds": 301.0}, "impossible_cover"),
        ({"slot": T0 + 7}, "slot_off_grid"),
    ],
    ids=str,
)
def test_a_pools_row_that_can_not_be_is_not_stored(ledger: Ledger, change: dict[str, Any], code: str) -> None:
    row: dict[str, Any] = {
        "slot": T0,
        "covered_seconds": 300.0,
        "finished": 10,
        "errors": 10,
        "arrivals": -1,
        "kv_cache_usage_max": 1.0,
    }
    fine = PoolSlot(**row | {"slot": T0 + 600})
    (problem,) = ledger.record({}, 0, {"pool": [PoolSlot(**row | change), fine]})
    assert (problem.code, problem.pool) == (code, "pool")
    assert pool_rows(ledger.engine, "pool", 0, 1e12) == [fine]


ROWS: dict[str, tuple[Any, dict[str, Any]]] = {
    "slots": (
        slots,
        {
            "objective": "x",
            "slot": T0,
            "good": 9,
            "total": 10,
            "covered_ms": 300_000,
            "spec_hash": "h",
            "source": "s",
            "indeterminate": 1,
        },
    ),
    "rollups": (
        rollups,
        {
            "objective": "x",
            "size": HOUR,
            "start": T0,
            "good": 9,
            "total": 10,
            "covered_ms": 3_600_000,
            "simulated": 0,
            "indeterminate": 1,
        },
    ),
    "pool_slots": (
        pool_slots,
        {"pool": "x", "slot": T0, "covered_ms": 300_000, "simulated": 0, "finished": 5, "errors": 5},
    ),
}


REFUSED: list[tuple[str, dict[str, int | float | None]]] = [
    ("slots", {"good": 10}),
    ("slots", {"good": -1}),
    ("slots", {"indeterminate": -1}),
    ("slots", {"total": MOST + 1}),
    ("slots", {"covered_ms": 300_001}),
    ("slots", {"covered_ms": -1}),
    ("slots", {"slot": T0 + 1}),
    ("rollups", {"good": 10}),
    ("rollups", {"covered_ms": 3_600_001}),
    ("rollups", {"start": T0 + 300}),
    ("pool_slots", {"errors": 6}),
    ("pool_slots", {"finished": -1, "errors": None}),
    ("pool_slots", {"kv_cache_usage_mean": 1.02}),
    ("pool_slots", {"slot": T0 + 1}),
]


def test_the_database_refuses_it_too(database: str, open_ledger: Opener) -> None:
    engine = open_ledger(database).engine
    for table, change in REFUSED:
        place, row = ROWS[table]
        with pytest.raises(IntegrityError, match="possible"), writing(engine) as connection:
            connection.execute(insert(place).values(row | change))
    for place, row in ROWS.values():
        with writing(engine) as connection:
            connection.execute(insert(place).values(row))


def test_an_old_ledger_that_holds_impossible_rows_opens_and_keeps_them_aside(
    database: str, open_ledger: Opener
) -> None:
    """The tables of the version before, with a slot of more good than total requests, one off the grid, and what was summed of both."""
    old = create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    config = migrations()
    with old.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0010")
    lines: list[tuple[str, dict[str, object]]] = [
        ("slots", {"objective": "x", "slot": T0, "good": 9, "total": 10, "covered_ms": 300_000}),
        ("slots", {"objective": "x", "slot": T0 + 300, "good": 1620, "total": 900, "covered_ms": 300_000}),
        ("slots", {"objective": "x", "slot": T0 + 3600, "good": 10**15, "total": 10**15, "covered_ms": 1}),
        ("slots", {"objective": "x", "slot": T0 + 7201, "good": 1, "total": 1, "covered_ms": 1}),
        ("rollups", {"objective": "x", "size": HOUR, "start": T0, "good": 1629, "total": 910, "covered_ms": 600_000}),
        (
            "rollups",
            {"objective": "x", "size": HOUR, "start": T0 + 3600, "good": 10**15, "total": 10**15, "covered_ms": 1},
        ),
        ("rollups", {"objective": "x", "size": HOUR, "start": T0 + 7200, "good": 1, "total": 1, "covered_ms": 1}),
        (
            "rollups",
            {
                "objective": "x",
                "size": DAY,
                "start": T0,
                "good": 10**15 + 1630,
                "total": 10**15 + 911,
                "covered_ms": 600_002,
            },
        ),
        ("rollups", {"objective": "x", "size": DAY, "start": T0 - DAY, "good": 5, "total": 6, "covered_ms": 7}),
        ("pool_slots", {"pool": "x", "slot": T0, "covered_ms": 1, "finished": 5}),
        ("pool_slots", {"pool": "x", "slot": T0 + 300, "covered_ms": 1, "finished": -5}),
    ]
    more: dict[str, dict[str, object]] = {
        "slots": {"spec_hash": "h", "source": "per_request"},
        "rollups": {"simulated": 0},
        "pool_slots": {"simulated": 0},
    }
    with old.begin() as connection:
        for table, values in lines:
            row = values | more[table]
            names, places = ", ".join(row), ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({places})"), row)  # noqa: S608 - of this test
    old.dispose()
    ledger = open_ledger(database)
    assert [(slot.slot, slot.good, slot.total) for slot in ledger.slots("x", 0, 1e12)] == [(T0, 9, 10)]
    assert ledger.rows("x", HOUR, 0, 10**12) == [(T0, 9, 10, 300_000, 0)]
    assert ledger.rows("x", DAY, 0, 10**12) == [(T0 - DAY, 5, 6, 7, 0), (T0, 9, 10, 300_000, 0)]
    assert [row.slot for row in pool_rows(ledger.engine, "x", 0, 1e12)] == [T0]
    with ledger.engine.connect() as connection:
        kept = {
            (row.table, row.start, row.size): json.loads(row.body)
            for row in connection.execute(select(impossible_rows))
        }
    assert kept["slots", T0 + 300, 300]["good"] == 1620
    assert kept["slots", T0 + 3600, 300]["total"] == 10**15
    assert kept["slots", T0 + 7201, 300]["source"] == "per_request"
    assert kept["pool_slots", T0 + 300, 300]["finished"] == -5
    assert len([key for key in kept if key[0] != "rollups"]) == 4


def test_a_table_that_moved_is_as_small_as_before(tmp_path: Path, ledger: Ledger) -> None:
    assert ledger.recorded_until() == {}
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        made = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    assert all("WITHOUT ROWID" in made[name] for name in ("slots", "rollups", "pool_slots"))

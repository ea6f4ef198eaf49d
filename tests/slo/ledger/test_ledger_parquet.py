"""The ledger as Parquet: it comes back to the row on either database, an import changes nothing that is there, and errors name it."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, select

from plimsoll.compose.cli import main
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.ledger.database import writing
from plimsoll.slo.ledger.manual_changes import cancel, exclude
from plimsoll.slo.ledger.parquet import EXPORTED, ImportConflictError, Taken, export_ledger, import_ledger
from plimsoll.slo.ledger.retention import prune
from plimsoll.slo.ledger.schema import audit, metadata, rollups, slots
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.spec.objectives import load
from postgresql import PostgreSQL
from world import SPEC_TEXT, World

Opener = Callable[[str], Ledger]
DAY = 86400
BEGIN = 1_699_920_000  # midnight of 2023-11-14, UTC
NOW = float(BEGIN + 12 * DAY)
SPEC = load(SPEC_TEXT + "  - {id: up, pool: pool, indicator: availability, target: 99.9%, window: 10d}\n")


def lived_in(ledger: Ledger, pruned: float = 0.0) -> Ledger:
    """Fill a ledger as twelve days would have: slots with gaps, a correction, exclusions, a recommendation, old slots pruned."""
    random = Random(7)  # noqa: S311 - no secret
    counts = {}
    for objective in SPEC.objectives:
        found = []
        for slot in range(BEGIN, int(NOW), SLOT):
            total = random.choice([0, 3, 700])
            seconds = random.choice([300.0, 299.999, 12.5])
            found.append(
                SlotCount(
                    slot, random.randint(0, total), total, seconds, random.choice(["request", "bucket+simulated"])
                )
            )
        counts[objective.id, objective.spec_hash] = found
    ledger.record(counts, int(NOW) - 1200)
    ledger.correct("fast", SlotCount(BEGIN + 9 * DAY, 1, 2, 300.0, ""), "ann", "a broken clock", NOW - 60)
    exclude(ledger.engine, Exclusion(NOW - DAY, NOW - DAY + 1800.25, "ann", "driver", pool="pool"), NOW - 50)
    gone = exclude(ledger.engine, Exclusion(NOW - 4000, NOW - 3000, "bob", "a drill"), NOW - 40)
    cancel(ledger.engine, gone.id or "", "bob", "it was none", NOW - 30)
    ledger.save_recommendation("pool", NOW - 5, {"action": "hold"})
    if pruned:
        prune(ledger.engine, pruned, NOW)
    return ledger


def rows(ledger: Ledger) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that a ledger holds."""
    with ledger.engine.connect() as connection:
        return {table.name: sorted(map(tuple, connection.execute(select(table))), key=repr) for table in EXPORTED}


def answers(ledger: Ledger) -> list[Any]:
    """What the API says of a ledger: all budgets, each history, the audit, the exclusions."""
    client = TestClient(create_app(Service(SPEC, World({}, {}), ledger, clock=lambda: NOW)))
    paths = [
        "/api/v1/slos",
        "/api/v1/slos/fast/budget",
        "/api/v1/slos/up/budget",
        "/api/v1/audit",
        "/api/v1/exclusions",
    ]
    return [(response.status_code, response.json()) for response in map(client.get, paths)]


@pytest.mark.postgresql
@pytest.mark.parametrize("pruned", [0.0, BEGIN + 1.5 * DAY])
def test_a_sqlite_ledger_moved_to_postgresql_gives_the_same_answers(
    tmp_path: Path, postgresql: PostgreSQL, open_ledger: Opener, pruned: float
) -> None:
    here = lived_in(open_ledger(f"sqlite:///{tmp_path}/ledger.db"), pruned)
    there, back = open_ledger(postgresql.database()), open_ledger(f"sqlite:///{tmp_path}/back.db")
    for number, (source, target) in enumerate([(here, there), (there, back)]):
        (tmp_path / str(number)).mkdir()
        counts = export_ledger(source.engine, tmp_path / str(number))
        taken = import_ledger(target.engine, tmp_path / str(number))
        assert {name: found.rows for name, found in taken.items()} == counts
    assert rows(here) == rows(there) == rows(back)
    assert answers(here) == answers(there) == answers(back)
    assert answers(here)[0][1]["slos"][0]["total"] > 0
    last = max(row[0] for row in rows(there)["audit"])
    there.correct("fast", SlotCount(BEGIN + 10 * DAY, 1, 1, 300.0, ""), "ann", "after the move", NOW)
    assert max(row[0] for row in rows(there)["audit"]) == last + 1


def exported(ledger: Ledger, folder: Path) -> Path:
    folder.mkdir()
    export_ledger(ledger.engine, folder)
    return folder


def test_an_import_is_repeated_without_harm_and_the_files_are_plain_parquet(
    tmp_path: Path, database: str, new_database: Callable[[], str], open_ledger: Opener
) -> None:
    first, second = lived_in(open_ledger(database)), open_ledger(new_database())
    folder = exported(first, tmp_path / "out")
    import_ledger(second.engine, folder)
    before = rows(second)
    assert all(taken.new == 0 for taken in import_ledger(second.engine, folder).values())
    assert rows(second) == before == rows(first)
    frame = pd.read_parquet(folder / "slots.parquet")
    assert int(frame[frame.objective == "fast"].total.sum()) == sum(
        row[3] for row in before["slots"] if row[0] == "fast"
    )
    assert {path.stem for path in folder.iterdir()} == set(metadata.tables) - {
        *("scraped_series", "scraped_samples", "leadership")
    }


@pytest.mark.parametrize(
    ("table", "change", "named"),
    [
        (
            slots,
            {"good": 0, "total": 1},
            f"slots, objective fast, slot {BEGIN + 9 * DAY}: good is 0 in the ledger, 1 in the file; total is 1",
        ),
        (None, {}, "exclusions, id "),
        (
            rollups,
            {"good": 0, "total": 5},
            f"rollups, objective fast, size 3600, start {BEGIN}: good is 0 in the ledger, ",
        ),
    ],
)
def test_a_row_that_says_something_else_stops_the_import_and_changes_nothing(
    tmp_path: Path,
    new_database: Callable[[], str],
    open_ledger: Opener,
    table: Any,
    change: dict[str, int],
    named: str,
) -> None:
    first, second = lived_in(open_ledger(new_database()), BEGIN + DAY), open_ledger(new_database())
    folder = exported(first, tmp_path / "out")
    import_ledger(second.engine, folder)
    with writing(second.engine) as connection:
        connection.execute(slots.delete().where(slots.c.objective == "up"))  # what would be new
        if table is slots:
            connection.execute(
                slots.update().where(slots.c.objective == "fast", slots.c.slot == BEGIN + 9 * DAY).values(change)
            )
        elif table is rollups:
            same = (rollups.c.objective == "fast", rollups.c.start == BEGIN, rollups.c.size == 3600)
            connection.execute(rollups.update().where(*same).values(change))
    if table is None:
        running = next(item for item in rows(second)["exclusions"] if item[8] is None)
        cancel(second.engine, running[0], "eve", "otherwise", NOW)
    before = rows(second)
    with pytest.raises(ImportConflictError) as error:
        import_ledger(second.engine, folder)
    assert named in str(error.value)
    assert str(error.value).endswith("Nothing was imported.")
    assert rows(second) == before


def test_two_ledgers_that_hold_parts_of_a_day_become_one(
    tmp_path: Path, database: str, new_database: Callable[[], str], open_ledger: Opener
) -> None:
    """Sums over the hours and days that both have a part of are neither's: they are made again."""
    whole = open_ledger(database)
    found = [SlotCount(BEGIN + SLOT * i, i, 2 * i, 300.0, "per_request") for i in range(500)]
    whole.record({("fast", "x"): found}, 9000)
    random = Random(3)  # noqa: S311 - no secret
    chosen = {item.slot for item in found if random.random() < 0.5}
    halves = []
    for number, part in enumerate((chosen, {item.slot for item in found} - chosen)):
        half = open_ledger(new_database())
        half.record({("fast", "x"): [item for item in found if item.slot in part]}, 5000 + 4000 * number)
        halves.append(exported(half, tmp_path / str(number)))
    for order in (halves, halves[::-1]):
        merged = open_ledger(new_database())
        for folder in order:
            import_ledger(merged.engine, folder)
        assert rows(merged) == rows(whole)


def test_an_older_archive_of_a_ledger_that_was_thinned_since_agrees_with_it(
    tmp_path: Path, database: str, new_database: Callable[[], str], open_ledger: Opener
) -> None:
    ledger = lived_in(open_ledger(database))
    folder = exported(ledger, tmp_path / "old")
    sums, shown = rows(ledger)["rollups"], answers(ledger)[0]
    prune(ledger.engine, BEGIN + 2 * DAY, NOW)
    assert import_ledger(ledger.engine, folder)["slots"].new == 2 * 2 * DAY // SLOT  # brought back
    assert (rows(ledger)["rollups"], answers(ledger)[0]) == (sums, shown)


def test_files_of_another_kind_are_refused_by_name(tmp_path: Path, open_ledger: Opener) -> None:
    ledger = lived_in(open_ledger(f"sqlite:///{tmp_path}/ledger.db"))
    folder = exported(ledger, tmp_path / "out")
    for name in ("exclusions", "recommendations"):
        (folder / f"{name}.parquet").unlink()  # as a version had it that knew no such table
    fresh = open_ledger(f"sqlite:///{tmp_path}/fresh.db")
    assert import_ledger(fresh.engine, folder)["audit"] == Taken(4, 4)

    table = pq.read_table(folder / "slots.parquet")

    def rejected(changed: Any, what: str) -> None:
        pq.write_table(changed, folder / "slots.parquet")
        with pytest.raises(ImportConflictError, match=what):
            import_ledger(fresh.engine, folder)

    rejected(table.drop_columns(["total"]), "slots.parquet: lacks total: it isn.t an export of this version")
    rejected(table.append_column("fair", table["total"]), "slots.parquet: has fair")
    rejected(table.set_column(2, "good", table["source"]), "slots.parquet: column good: has the type string, not int64")
    (folder / "slots.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ImportConflictError, match=r"slots.parquet: isn't a table of a ledger"):
        import_ledger(fresh.engine, folder)
    (folder / "strange.parquet").touch()
    with pytest.raises(ImportConflictError, match="has strange; the tables of a ledger are audit, "):
        import_ledger(fresh.engine, folder)


def test_the_commands_say_what_they_did_and_what_is_in_the_way(
    tmp_path: Path, open_ledger: Opener, capsys: pytest.CaptureFixture[str]
) -> None:
    url, out, other = f"sqlite:///{tmp_path}/ledger.db", tmp_path / "out", f"sqlite:///{tmp_path}/other.db"

    def ran(*arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["ledger", *arguments])
        said = capsys.readouterr()
        return status, said.out + said.err

    assert ran("export", "--db", url, "--out", str(out)) == (
        2,
        f"plimsoll: --db {url}: no such file. Check the path.\n",
    )
    assert not (tmp_path / "ledger.db").exists()
    lived_in(open_ledger(url))
    status, said = ran("export", "--db", url, "--out", str(out))
    assert (status, "slots: 6912 rows" in said) == (0, True)
    assert ran("export", "--db", url, "--out", str(out))[0] == 2
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
    status, said = ran("import", "--db", other, str(out))
    assert (status, "slots: 6912 rows, 6912 of them new" in said) == (0, True)
    with writing(open_ledger(other).engine) as connection:
        connection.execute(insert(audit).values(id=9, at=1.0, actor="a", reason="b", action="c", subject="d"))
    assert "audit: 4 rows, 0 of them new" in ran("import", "--db", other, str(out))[1]
    assert ran("import", "--db", other, str(tmp_path / "nowhere"))[0] == 2

"""A file with a row that can't be is refused as a whole: the row and its column are named, and nothing of the file is stored."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from plimsoll.compose.cli import main
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.invariants import MOST
from plimsoll.slo.ledger.parquet import export_ledger
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.usage.slots import PoolSlot

T0 = 1_700_000_100


@pytest.fixture
def folder(tmp_path: Path, open_ledger: Callable[[str], Ledger]) -> Path:
    ledger = open_ledger(f"sqlite:///{tmp_path}/from.db")
    found = [SlotCount(T0 + 300 * i, 9, 10, 300.0, "per_request") for i in range(3)]
    usage = [PoolSlot(T0 + 300 * i, 300.0, finished=10, errors=1, kv_cache_usage_max=0.5) for i in range(3)]
    ledger.record({("fast", "hash"): found}, T0, {"pool": usage})
    (tmp_path / "out").mkdir()
    export_ledger(ledger.engine, tmp_path / "out")
    return tmp_path / "out"


def changed(path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    change(pd.read_parquet(path)).to_parquet(path, index=False)


def put(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Change the second row."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        values = list(table[column])
        values[1] = value
        return table.assign(**{column: values})

    return change


def again(table: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([table.iloc[:1], table.iloc[:1], table.iloc[1:]])


@pytest.mark.parametrize(
    ("table", "change", "named"),
    [
        ("slots", put("good", 10**15), "good"),
        ("slots", put("good", 11), "good"),
        ("slots", put("indeterminate", 2), "good"),
        ("slots", put("total", -5), "total"),
        ("slots", put("total", MOST + 1), "total"),
        ("slots", put("total", 10.5), "total"),
        ("slots", put("total", float("nan")), "total"),
        ("slots", put("slot", T0 + 301), "slot"),
        ("slots", put("covered_ms", 300_001), "covered_ms"),
        ("slots", put("covered_ms", -1), "covered_ms"),
        ("slots", again, "twice"),
        ("pool_slots", put("errors", 11), "errors"),
        ("pool_slots", put("finished", -1), "finished"),
        ("pool_slots", put("kv_cache_usage_max", float("inf")), "kv_cache_usage_max"),
        ("rollups", put("total", 3), "good"),
        ("rollups", put("size", 7200), "size"),
    ],
)
def test_a_row_that_cannot_be_stops_the_import_and_is_named(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], table: str, change: Any, named: str
) -> None:
    changed(folder / f"{table}.parquet", change)
    url = f"sqlite:///{tmp_path}/to.db"
    assert main(["ledger", "import", str(folder), "--db", url]) == 2
    error = capsys.readouterr().err
    assert f"{table}.parquet" in error
    assert "row 2" in error
    assert named in error
    assert len(error.splitlines()) == 1
    empty = Ledger(open_database(url))
    assert (empty.slots("fast", 0, 1e12), empty.recorded_until()) == ([], {})
    empty.engine.dispose()


@pytest.mark.parametrize("kind", [str, bool])
def test_a_column_of_another_kind_stops_the_import(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: type
) -> None:
    changed(folder / "slots.parquet", lambda table: table.assign(total=table["total"].map(kind)))
    assert main(["ledger", "import", str(folder), "--db", f"sqlite:///{tmp_path}/to.db"]) == 2
    assert "column total" in capsys.readouterr().err


def test_whole_numbers_that_a_table_holds_as_floats_are_those_numbers(folder: Path, tmp_path: Path) -> None:
    changed(folder / "slots.parquet", lambda table: table.assign(total=table["total"].astype(float)))
    url = f"sqlite:///{tmp_path}/to.db"
    assert main(["ledger", "import", str(folder), "--db", url]) == 0
    ledger = Ledger(open_database(url))
    assert [slot.total for slot in ledger.slots("fast", 0, 1e12)] == [10, 10, 10]
    ledger.engine.dispose()

"""A ledger that version 0.1 wrote opens in this version: every number is there, under the new names."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from alembic import command
from sqlalchemy import MetaData, create_engine

from paths import ROOT
from plimsoll.slo.ledger.database import migrations
from plimsoll.slo.ledger.documents import last_attempt, saved_review
from plimsoll.slo.ledger.manual_changes import audit_events, stored_exclusions
from plimsoll.slo.ledger.retention import pruned_until
from plimsoll.slo.ledger.rollup import DAY, HOUR
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.sli.increments import SlotCount

T0 = 1_700_006_400  # the midnight at which the slots of the file begin
Rows = dict[str, list[dict[str, Any]]]


@pytest.fixture
def written() -> Rows:
    """The tables as 0.1 wrote them (its own code made tests/fixtures/ledger-0.1.sql)."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        connection.executescript((ROOT / "tests/fixtures/ledger-0.1.sql").read_text())
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")]  # noqa: S608 - names of the fixture
            for name in names
            if name != "alembic_version"
        }


@pytest.fixture
def ledger(database: str, written: Rows, open_ledger: Callable[[str], Ledger]) -> Ledger:
    """The same rows in the tables of 0.1, on either database, opened by this version."""
    old = create_engine(database.replace("postgresql:", "postgresql+psycopg:"))
    config = migrations()
    with old.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0008")
    tables = MetaData()
    tables.reflect(old)
    with old.begin() as connection:
        for name, rows in written.items():
            if rows:
                connection.execute(tables.tables[name].insert(), rows)
    old.dispose()
    return open_ledger(database)


def numbers(value: Any) -> list[Any]:
    """Every number in a JSON value, in order of its text; names and words may have changed."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return sorted(number for item in value for number in numbers(item))
    return [value] if isinstance(value, int | float) else []


def test_slots_keep_their_numbers_and_their_evidence_has_its_new_name(ledger: Ledger, written: Rows) -> None:
    found = ledger.slots("chat-ttft", T0, T0 + 86400)
    old = sorted((row for row in written["slots"] if row["slot"] >= T0), key=lambda row: row["slot"])
    fields = ("slot", "good", "total", "spec_hash", "unclear")
    assert [(s.slot, s.good, s.total, s.spec_hash, s.indeterminate) for s in found] == [
        tuple(row[name] for name in fields) for row in old
    ]
    assert [round(slot.covered_seconds * 1000) for slot in found] == [row["covered_ms"] for row in old]
    assert [slot.source for slot in found] == [
        "per_request",
        "manual",
        "lower_bound",
        "bounds",
        "bounds+exact_bucket+per_request",
        "counter",
        "manual+simulated",
    ]
    for size in (HOUR, DAY):
        sums = sorted((r for r in written["rollups"] if r["size"] == size), key=lambda row: row["start"])
        names = ("start", "good", "total", "covered_ms", "unclear")
        assert ledger.rows("chat-ttft", size, 0, T0 * 2) == [tuple(row[name] for name in names) for row in sums]


def test_what_was_set_by_hand_or_pruned_stays_so(ledger: Ledger) -> None:
    assert pruned_until(ledger.engine) == T0
    assert ledger.recorded_until() == {"chat-ttft": T0 + 2100}
    better = SlotCount(T0 + 300, 500, 500, 300.0, "per_request")
    ledger.record({("chat-ttft", "71c89dc7df48"): [better]}, 0)
    (slot,) = ledger.slots("chat-ttft", T0 + 300, T0 + 600)
    assert (slot.good, slot.total, slot.source) == (50, 100, "manual")


def test_a_pools_slots_keep_their_numbers(ledger: Ledger, written: Rows) -> None:
    found = pool_rows(ledger.engine, "chat", T0, T0 + 86400)
    assert len(found) == 3
    for slot, row in zip(found, sorted(written["pool_slots"], key=lambda row: row["slot"]), strict=True):
        assert (slot.rejected, slot.replica_disruptions) == (row["refused"], row["gone"])
        assert (slot.input_tokens, slot.output_tokens) == (row["prompt_tokens"], row["generation_tokens"])
        assert (slot.waiting_max, slot.waiting_mean) == (row["queue_max"], row["queue_mean"])
        assert (slot.kv_cache_usage_max, slot.kv_cache_usage_mean) == (row["kv_max"], row["kv_mean"])
        assert (slot.arrivals, slot.energy_joules) == (row["arrivals"], row["energy_joules"])


def test_exclusions_and_audit_name_who_and_why_as_before(ledger: Ledger, written: Rows) -> None:
    old = {row["id"]: row for row in written["exclusions"]}
    assert len(old) == 2
    for item in stored_exclusions(ledger.engine):
        row = old[item.id]
        assert (item.created_by, item.reason, item.canceled_at) == (row["who"], row["why"], row["withdrawn_at"])
        assert (item.start, item.end) == (row["start"], row["end"])
    events = {event["id"]: event for event in audit_events(ledger.engine, None, 100)}
    assert len(events) == len(written["audit"])
    for row in written["audit"]:
        event = events[row["id"]]
        assert (event["actor"], event["reason"], event["action"]) == (row["who"], row["why"], row["action"])
        assert (event["before"], event["after"]) == (row["before"], row["after"]), "audit bodies stay as written"


def test_recommendations_keep_every_number(ledger: Ledger, written: Rows) -> None:
    latest, first = ledger.recommendations("chat", 5)
    bodies = [json.loads(row["body"]) for row in sorted(written["recommendations"], key=lambda row: row["at"])]
    assert [numbers(first), numbers(latest)] == [numbers(body) for body in bodies]
    assert (first["action"], first["rule"], latest["action"]) == ("scale_out", "slo", "scale_in")
    assert first["expected_attainment"] == {
        "target": 0.95,
        "current_nodes": 0.62,
        "recommended_nodes": 0.991,
        "method": "queue_replay",
        "lookback_seconds": 1800.0,
        "unavailable_reason": None,
    }
    assert first["alternatives"][0]["required_by"] == ["demand", "max_nodes"]
    assert first["evidence"]["saturation_source_by_replica"] == {"a": "measured", "b": "pool_median"}
    assert first["evidence"]["spot_mix"]["min_on_demand_nodes"] == 2


def test_a_saved_review_and_a_calibration_keep_every_number(ledger: Ledger, written: Rows) -> None:
    saved, (row,) = saved_review(ledger.engine, "2023-W46"), written["reviews"]
    assert saved is not None
    review, old = json.loads(saved.body), json.loads(row["body"])
    assert (saved.generated_at, numbers(review)) == (row["made_at"], numbers(old))
    slo, pool = review["slos"][0], review["pools"][0]
    assert slo["bad_by_cause"] == {"queueing": 200, "indeterminate": 10, "no_data": 30}
    assert (slo["budget_consumed"], slo["previous"]["total"]) == (2.0, 0)
    assert pool["week"]["input_tokens"] == old["pools"][0]["week"]["prompt_tokens"]
    assert pool["action_counts"] == {"scale_out": 3, "hold": 4}
    assert pool["forecast"]["weeks"][0]["p95"] == {"lower": 1.0, "median": 2.0, "upper": 3.0}
    assert pool["api_comparison"]["bedrock-haiku"]["break_even_utilization"] == 0.187
    attempts = {row["pool"]: row for row in written["calibrations"]}
    for name in ("chat", "quiet"):
        attempt = last_attempt(ledger.engine, name)
        assert attempt is not None
        assert (attempt.last_attempt_at, attempt.reason) == (attempts[name]["looked_at"], attempts[name]["reason"])
    fitted = last_attempt(ledger.engine, "chat")
    assert fitted is not None
    assert fitted.body is not None
    assert numbers(json.loads(fitted.body)) == numbers(json.loads(attempts["chat"]["body"]))

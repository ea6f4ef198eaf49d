"""BadRequests requests by what their pool looked like: each once, by the stated order, on both sides of every bound."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.error_budget.attribution import LOSS_WINDOW_SECONDS, Attribution, BadRequests, Cause, attribute
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.spec.objectives import load
from plimsoll.slo.usage.slots import PoolSlot
from recorded import Recorded
from world import SPEC_TEXT

SPEC = load(
    SPEC_TEXT
    + """
  - {id: up, pool: pool, indicator: availability, target: 99%, window: 28d}
  - {id: whole, pool: pool, indicator: {goodput: {ttft: 600ms}}, target: 95%, window: 28d}
"""
)
CALM = PoolSlot(
    0,
    300.0,
    errors=0,
    rejected=0,
    preemptions=0,
    waiting_max=3.0,
    waiting_mean=0.99,
    kv_cache_usage_max=0.85,
    replicas=4.0,
    replica_disruptions=0,
)


def split(objective: str, bad: int, row: PoolSlot | None, *before: PoolSlot) -> dict[Cause, int]:
    rows = [*before, *([row] if row else [])]
    found = attribute(SPEC.objective(objective), SPEC.pools[0], {row.slot if row else 0: BadRequests(bad)}, rows)
    assert sum(share.bad for share in found.causes) == found.bad == bad
    return {share.cause: share.bad for share in found.causes}


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({}, "other"),
        ({"waiting_mean": 1.0}, "queueing"),
        ({"waiting_mean": 9.0, "kv_cache_usage_max": 0.8501}, "kv_cache"),
        ({"waiting_mean": 9.0, "kv_cache_usage_max": 1.0, "preemptions": 1}, "preemption"),
        ({"waiting_mean": 9.0, "kv_cache_usage_max": 1.0, "preemptions": 1, "replica_disruptions": 1}, "replica_loss"),
        ({"waiting_mean": None}, "no_data"),
        ({"kv_cache_usage_max": None}, "no_data"),
        ({"preemptions": None}, "no_data"),
        ({"replica_disruptions": None}, "no_data"),
        ({"kv_cache_usage_max": None, "waiting_mean": 1.0}, "queueing"),  # what is known tells, whatever else is not
        ({"errors": None, "rejected": None}, "other"),  # an objective on latency has no failed requests
    ],
)
def test_a_latency_objectives_bad_requests_go_by_what_the_slot_was_like(changed: dict[str, Any], cause: Cause) -> None:
    assert split("fast", 7, replace(CALM, **changed)) == {cause: 7}


def test_without_a_row_nothing_is_known() -> None:
    assert split("fast", 7, None) == {"no_data": 7}
    assert split("up", 7, None) == {"no_data": 7}


def test_failed_requests_are_errors_where_the_objective_counts_them_and_refused_ones_only_in_calm_slots() -> None:
    failing = replace(CALM, errors=4, rejected=2)
    assert split("fast", 7, failing) == {"other": 7}
    assert split("whole", 7, failing) == {"errors": 4, "other": 3}
    assert split("up", 7, failing) == {"errors": 6, "other": 1}
    assert split("up", 3, failing) == {"errors": 3}
    assert split("up", 7, replace(failing, waiting_mean=5.0)) == {"errors": 4, "queueing": 3}
    assert split("up", 7, replace(failing, rejected=None)) == {"errors": 4, "no_data": 3}
    assert split("whole", 7, replace(failing, errors=None)) == {"no_data": 7}


def test_a_loss_lasts_until_the_pool_has_its_number_again_and_an_hour_at_most() -> None:
    def at(slots: int, replicas: float, replica_disruptions: int = 0) -> PoolSlot:
        return replace(CALM, slot=SLOT * slots, replicas=replicas, replica_disruptions=replica_disruptions)

    lost = [at(0, 4.0), at(1, 3.4, replica_disruptions=1)]
    assert split("fast", 1, at(2, 3.0), *lost) == {"replica_loss": 1}
    assert split("fast", 1, at(3, 4.0), *lost, at(2, 3.0)) == {"other": 1}
    assert split("fast", 1, at(4, 3.0), *lost, at(2, 3.0), at(3, 4.0)) == {"other": 1}  # fewer again, and none was lost
    assert split("fast", 1, at(1 + LOSS_WINDOW_SECONDS // SLOT - 1, 3.0), *lost) == {"replica_loss": 1}
    assert split("fast", 1, at(1 + LOSS_WINDOW_SECONDS // SLOT, 3.0), *lost) == {"other": 1}


ROWS = st.builds(
    replace,
    st.just(CALM),
    slot=st.integers(0, 30).map(lambda number: number * SLOT),
    errors=st.none() | st.integers(0, 9),
    rejected=st.none() | st.integers(0, 9),
    preemptions=st.none() | st.integers(0, 1),
    waiting_mean=st.none() | st.floats(0, 3),
    kv_cache_usage_max=st.none() | st.floats(0, 1),
    replica_disruptions=st.none() | st.integers(0, 1),
    replicas=st.none() | st.floats(1, 4),
)


@given(
    rows=st.lists(ROWS, unique_by=lambda row: row.slot).map(lambda rows: sorted(rows, key=lambda row: row.slot)),
    bad=st.dictionaries(
        st.integers(0, 40).map(lambda number: number * SLOT),
        st.tuples(st.integers(0, 20), st.integers(0, 9)).map(lambda parts: BadRequests(sum(parts), parts[1])),
    ),
    objective=st.sampled_from(["fast", "up", "whole"]),
)
def test_every_bad_request_is_counted_exactly_once(
    rows: list[PoolSlot], bad: dict[int, BadRequests], objective: str
) -> None:
    found = attribute(SPEC.objective(objective), SPEC.pools[0], bad, rows)
    assert sum(share.bad for share in found.causes) == found.bad == sum(item.bad for item in bad.values())
    indeterminate = [share.bad for share in found.causes if share.cause == "indeterminate"]
    assert sum(indeterminate) == sum(item.indeterminate for item in bad.values())
    assert all(share.bad > 0 and share.slots > 0 for share in found.causes)
    assert found.preventable_by_scaling_ratio is None or 0 <= found.preventable_by_scaling_ratio <= 1


def summary(**bad: int) -> str:
    rows = {"queueing": replace(CALM, slot=0, waiting_mean=2.0), "other": replace(CALM, slot=SLOT)}
    found = attribute(
        SPEC.objective("fast"),
        SPEC.pools[0],
        {
            {"queueing": 0, "other": SLOT, "no_data": 2 * SLOT, "indeterminate": 3 * SLOT}[name]: BadRequests(
                count, count if name == "indeterminate" else 0
            )
            for name, count in bad.items()
        },
        list(rows.values()),
    )
    assert isinstance(found, Attribution)
    return found.summary


def test_the_summary_states_whether_more_nodes_would_help() -> None:
    assert summary(queueing=82, other=18).startswith("Adding nodes would likely have helped: 82% of bad requests")
    assert summary(queueing=50, other=50).startswith("Adding nodes would have helped little: 50%")
    assert summary(other=9).startswith("Adding nodes would not have helped: 0%")
    assert ": 80% of bad requests with a known cause" in summary(queueing=8, other=2, no_data=10)
    assert ": 80% of bad requests with a known cause" in summary(queueing=8, other=2, indeterminate=10)
    assert summary(queueing=4, indeterminate=5).endswith("56% are indeterminate.")
    assert summary(queueing=4, no_data=5).startswith("Inconclusive: the cause of 56% ")
    assert summary() == "No bad requests."


def test_the_api_attributes_the_window_or_what_is_asked_without_what_is_excluded(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    ledger, now = open_ledger(database), 1_700_000_100.0
    first = int(now) - 12 * SLOT
    counts = [SlotCount(first + SLOT * i, 90, 100, 300.0, "per_request") for i in range(10)]
    rows = [replace(CALM, slot=first + SLOT * i, waiting_mean=5.0 if i < 6 else 0.0) for i in range(9)]
    ledger.record({("fast", "hash"): counts}, int(now), {"pool": rows})
    service = Service(SPEC, Recorded([]), ledger, clock=lambda: now)
    client = TestClient(create_app(service))
    found = client.get("/api/v1/slos/fast/attribution").json()
    assert found["bad"] == client.get("/api/v1/slos/fast/budget").json()["bad"] == 100
    assert found["causes"] == [
        {"cause": "queueing", "bad": 60, "ratio": 0.6, "slots": 6},
        {"cause": "other", "bad": 30, "ratio": 0.3, "slots": 3},
        {"cause": "no_data", "bad": 10, "ratio": 0.1, "slots": 1},
    ]
    assert found["preventable_by_scaling_ratio"] == pytest.approx(60 / 90)
    asked = {"from": "2023-11-14T21:15:00Z", "to": "2023-11-14T21:25:00Z"}
    assert client.get("/api/v1/slos/fast/attribution", params=asked).json()["bad"] == 20
    maintenance = {
        "from": "2023-11-14T21:15:00Z",
        "to": "2023-11-14T21:25:00Z",
        "created_by": "ann",
        "reason": "load test",
    }
    assert client.post("/api/v1/exclusions", json=maintenance).status_code == 201
    excluded = client.get("/api/v1/slos/fast/attribution").json()["bad"]
    assert excluded == client.get("/api/v1/slos/fast/budget").json()["bad"] == 80
    assert client.get("/api/v1/slos/nope/attribution").status_code == 404

"""Replicas that can carry different amounts: each counts as it was measured, a new one as their median, and who leaves is said."""

from typing import Any

import pytest

from plimsoll.slo.capacity.model.replica_throughput import (
    ALIKE,
    COMMON,
    EARLIER,
    MEASURED,
    MEDIAN,
    ReplicaThroughput,
    measure,
)
from plimsoll.slo.capacity.model.signals import read
from plimsoll.slo.capacity.recommendation.attainment_simulation import Calibrated
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.capacity.recommendation.recommend import Decision
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import load
from pool_signals import NOW, POOL, recommend, served

EASY = LatencyTarget(2.0, 0.2, 0.9)
MOST = {"strong": 90, "weak": 30}  # requests of 1,000 tokens in 15 s: 6,000 and 2,000 tokens/s


def decided(
    strong: int,
    weak: int,
    full: int = 4,
    state: MeasuredState | None = None,
    engine: Calibrated | None = None,
    **others: int,
) -> Decision:
    """Ask for a pool that was full for so many slots twenty minutes ago, and got this many requests in each slot since."""
    first = {name: [most * (full + 2)] + [0] * (full + 1) if full else [] for name, most in MOST.items()}
    loads = {name: first[name] + [calm] * 82 for name, calm in (("strong", strong), ("weak", weak))}
    loads |= {name: [0] * (full + 2) + [calm] * 82 for name, calm in others.items()}
    series = [item for name, load in loads.items() for item in served(name, load, most=MOST.get(name, 45))]
    return recommend(POOL, read(series, NOW), NOW, EASY, state, engine)


def asked(strong: int, weak: int, **more: Any) -> Recommendation:
    return decided(strong, weak, **more).recommendation


def weakest(found: Recommendation) -> list[str]:
    """Return the replicas that are to be removed first."""
    if "weakest_replicas" not in found.reason_codes:
        return []
    text = found.reasons[found.reason_codes.index("weakest_replicas")]
    return text.partition(": ")[2].partition(".")[0].split(", ")


def test_each_replica_counts_as_it_was_measured_and_one_never_full_as_the_lower_median() -> None:
    found = asked(10, 10, new=1)
    assert found.evidence["saturation_tokens_per_second_by_replica"] == {"new": 2000, "strong": 6000, "weak": 2000}
    assert found.evidence["saturation_source_by_replica"] == {"new": MEDIAN, "strong": MEASURED, "weak": MEASURED}
    assert found.evidence["saturation_tokens_per_second_total"] == 10_000
    assert found.evidence["saturation_tokens_per_second_new_replica"] == 2000, "what a new one counts as"
    assert found.reason_codes[0] == "demand_and_backlog"
    assert "strong 6,000 tokens/s (measured at saturation)" in found.reasons[0]
    assert "total 10,000; a new replica is assumed at 2,000" in found.reasons[0]


@pytest.mark.parametrize(("slots", "own"), [(3, False), (4, True)])
def test_a_replica_is_measured_by_itself_once_it_was_full_for_a_minute(slots: int, own: bool) -> None:
    found = asked(10, 10, full=slots)
    assert (found.evidence["saturation_source_by_replica"]["strong"] == MEASURED) is own
    assert (found.evidence["saturation_tokens_per_second_by_replica"]["strong"] == 6000) is own


# Together 8,000 tokens/s, 7,200 of them planned with: 108 requests in 15 s.
@pytest.mark.parametrize(("strong", "weak", "nodes"), [(80, 28, 2), (80, 29, 3), (88, 29, 3)])
def test_demand_is_set_against_the_sum_of_what_the_present_replicas_can_do(strong: int, weak: int, nodes: int) -> None:
    assert asked(strong, weak).evidence["nodes_to_clear_backlog"] == nodes


# One node is enough only if the weak one would do alone: 1,800 tokens/s, 27 requests in 15 s.
@pytest.mark.parametrize(("strong", "weak", "action"), [(20, 7, "scale_in"), (20, 8, "hold"), (60, 7, "hold")])
def test_a_release_holds_even_if_the_strongest_leaves_and_names_the_weakest(
    strong: int, weak: int, action: str
) -> None:
    found, state = decided(strong, weak)
    assert found.action == action, found.reasons
    assert weakest(found) == (["weak"] if action == "scale_in" else [])
    assert weakest(asked(strong, weak, state=state)) == weakest(found), "as long as it has not left"


@pytest.mark.parametrize(("slowness", "action"), [(3, "scale_in"), (9, "hold")])
def test_a_release_is_tried_on_the_weakest(slowness: float, action: str) -> None:
    # The model is of the weak one; steps of the strong one take a third as long, which would do.
    found = asked(20, 7, engine=Calibrated(load("70b-fp8-h100-tp4").times(slowness), Limits()))
    assert (found.action, found.expected_attainment.method) == (action, "simulation"), found.reasons
    alone = asked(20, 7, engine=Calibrated(load("70b-fp8-h100-tp4").times(slowness / 3), Limits()))
    assert alone.action == "scale_in"


def test_what_was_measured_is_remembered_from_answer_to_answer() -> None:
    later, state = decided(10, 10, full=0, state=decided(10, 10).state)
    assert later.evidence["saturation_tokens_per_second_by_replica"] == {"strong": 6000, "weak": 2000}
    assert later.evidence["saturation_source_by_replica"] == {"strong": EARLIER, "weak": EARLIER}
    third = asked(10, 10, full=0, state=state)
    assert (
        third.evidence["saturation_tokens_per_second_by_replica"]
        == later.evidence["saturation_tokens_per_second_by_replica"]
    )


def test_replicas_that_differ_by_no_more_than_noise_are_alike() -> None:
    same = measure(["a", "b", "c"], 110.0, {"a": 100.0, "b": 100.0 * ALIKE}, {})
    assert (same.measured, same.typical, set(same.origins.values())) == ({}, 110.0, {COMMON})
    unlike = measure(["a", "b", "c"], 110.0, {"a": 100.0, "b": 101.0 * ALIKE}, {})
    assert (unlike.typical, unlike.of("b"), unlike.of("c")) == (100.0, 101.0 * ALIKE, 100.0)


def test_earlier_measurements_are_scaled_by_what_was_measured_again_and_dropped_where_nothing_was() -> None:
    before = {"a": 6000.0, "b": 2000.0}
    assert measure(["a", "b"], 2000.0, {}, before).measured == before
    again = measure(["a", "b"], 1000.0, {"b": 1000.0}, before)
    assert (again.of("a"), again.origins) == (3000.0, {"a": EARLIER, "b": MEASURED})
    other = measure(["a", "b", "c"], 1000.0, {"c": 1000.0}, before)
    assert (other.measured, other.typical, other.of("a")) == ({}, 1000.0, 1000.0)


def test_so_many_replicas_are_judged_as_the_weakest_of_those_present_and_new_ones_beyond() -> None:
    found = ReplicaThroughput(2000.0, {"a": 6000.0, "b": 1000.0}, ("a", "b", "c"))
    assert [found.least(count) for count in range(6)] == [0, 1000, 3000, 9000, 11_000, 13_000]
    needs = {0: 0, 1: 1, 1000: 1, 1001: 2, 3000: 2, 3001: 3, 9000: 3, 9001: 4, 11_000: 4, 11_001: 5}
    assert {rate: found.count_for(rate) for rate in needs} == needs
    assert found.weakest_first() == ["b", "c", "a"]
    assert ReplicaThroughput().count_for(10.0) == 0, "nothing is known"


def test_the_state_after_a_decision_is_stored_and_read_as_it_was() -> None:
    state = decided(10, 10, new=1).state
    assert state is not None and MeasuredState.from_json(state.to_json()) == state
    assert (state.at, state.recommended_nodes) == (NOW, 3)
    found = state.throughput
    assert found is not None
    assert found.mean == pytest.approx(10_000 / 3)
    assert (found.strongest, found.typical) == (6000, 2000)
    assert found.least(4) == 12_000, "a fourth one counts as the lower median"
    early = ReplicaThroughput(3000.0)
    assert (early.mean, early.strongest, early.least(2)) == (3000, 3000, 6000)

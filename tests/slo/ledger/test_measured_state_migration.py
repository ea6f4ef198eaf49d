"""Recommendations that were stored before measured states keep what they measured."""

import pytest

from plimsoll.slo.capacity.recommendation.measured_state import MeasuredState
from plimsoll.slo.ledger.migrations.versions.v0010_measured_states import state_of


def test_the_state_is_taken_from_the_evidence() -> None:
    evidence = {
        "saturation_tokens_per_second_new_replica": 2000.0,
        "saturation_tokens_per_second_by_replica": {"a": 6000.0, "b": 2000.0},
        "saturation_source_by_replica": {"a": "measured", "b": "pool_median"},
    }
    text = state_of({"at": 5.0, "recommended_nodes": 3, "evidence": evidence})
    assert text is not None
    state = MeasuredState.from_json(text)
    assert (state.at, state.recommended_nodes, state.typical, state.measured) == (5.0, 3, 2000.0, {"a": 6000.0})
    assert state.throughput is not None and state.throughput.mean == 4000


@pytest.mark.parametrize("body", [{"action": "hold"}, {"at": 5.0, "recommended_nodes": 3, "evidence": {}}])
def test_one_that_measured_nothing_has_none(body: dict[str, object]) -> None:
    assert state_of(body) is None

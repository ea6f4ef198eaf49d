"""Recommendations of a week against the nodes that were up, and against the answers of people."""

from typing import Any

import pytest

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.manual_changes import Acknowledgement
from plimsoll.slo.reports.recommendations.followed import LISTED, followed
from plimsoll.slo.usage.slots import PoolSlot

T0 = 1_700_006_400
END = T0 + 12 * SLOT


def advice(slot: int, action: str, nodes: int | None) -> dict[str, Any]:
    return {"at": T0 + slot * SLOT + 10.0, "action": action, "recommended_nodes": nodes, "reasons": ["why"]}


def rows(*nodes: float | None) -> list[PoolSlot]:
    return [PoolSlot(T0 + index * SLOT, 300.0, nodes=one) for index, one in enumerate(nodes)]


@pytest.mark.parametrize(
    ("newest_first", "nodes", "expected"),
    [
        ([advice(1, "scale_out", 4)], (2, 2, 2, 4), [True]),
        ([advice(1, "scale_out", 4)], (4, 2, 2, 3.5), [False]),
        ([advice(2, "scale_out", 4)], (2, 2), [None]),
        ([advice(0, "scale_out", 4)], (None, None), [None]),
        ([advice(1, "scale_in", 2)], (3, 3, 2.02), [True]),
        ([advice(1, "scale_in", 2)], (1, 3, 3), [False]),
        # The nodes come once another number is recommended: too late for the first one, in time for the second.
        ([advice(3, "scale_out", 5), advice(1, "scale_out", 4)], (2, 2, 2, 3, 5), [True, False]),
        # That it holds at the number that was reached, and that data was missing, ends no recommendation.
        (
            [advice(5, "hold", 4), advice(3, "insufficient_data", None), advice(1, "scale_out", 4)],
            (2,) * 6 + (4,),
            [True],
        ),
    ],
)
def test_a_recommendation_is_followed_once_its_number_of_nodes_is_up_in_time(
    newest_first: list[dict[str, Any]], nodes: tuple[float | None, ...], expected: list[bool | None]
) -> None:
    found = followed({}, newest_first, rows(*nodes), END)
    assert [one.followed for one in found.newest] == expected
    counts = (found.made, found.followed, found.unknown)
    assert counts == (len(expected), expected.count(True), expected.count(None))


def test_answers_are_counted_and_the_newest_recommendations_listed() -> None:
    made = [advice(-index, "scale_out", 2 + index % 2) for index in range(LISTED + 1)]
    last = round(made[0]["at"])
    given = {last: Acknowledgement("pool", last, "later", "ann", "after the release", END)}
    found = followed(given, made, [], END)
    assert (found.made, len(found.newest), found.answers) == (LISTED + 1, LISTED, {"later": 1})
    first = found.newest[0]
    assert (first.answer, first.answered_by, first.answer_reason) == ("later", "ann", "after the release")
    assert found.newest[1].answer is None

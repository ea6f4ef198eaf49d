"""Recommended nodes beside those that ran: by hour, with what was attained, and nothing about what wasn't observed."""

import pytest

from plimsoll.slo.ledger.rollup import NONE, Sums
from plimsoll.slo.reports.recommendations.shadow import Shadow, shadow
from plimsoll.slo.service.pages.step_chart import steps
from plimsoll.slo.usage.slots import PoolSlot

START, HOUR = 1_700_000_000 // 3600 * 3600, 3600


def ran(*nodes: float | None) -> list[PoolSlot]:
    """Slots of hours in which so many nodes ran; None: no data."""
    return [
        PoolSlot(START + HOUR * hour + 300 * slot, 300.0, nodes=count)
        for hour, count in enumerate(nodes)
        for slot in range(12)
    ]


def made(*changes: tuple[float, int | None]) -> list[dict[str, object]]:
    """Recommendations by the hour at which they were made, newest first."""
    return [{"at": START + HOUR * hour, "recommended_nodes": count} for hour, count in reversed(changes)]


def compared(changes: list[dict[str, object]], rows: list[PoolSlot], hours: int, *sums: Sums) -> Shadow:
    found = shadow(changes, rows, {"fast": sums or (NONE,) * hours}, (START, START + HOUR * hours))
    assert found is not None
    return found


def requests(good: int, total: int) -> Sums:
    return Sums(good, total, 3_600_000, False)


def test_node_hours_and_attainment_where_more_fewer_and_as_many_were_recommended() -> None:
    sums = requests(80, 100), requests(90, 100), requests(50, 50), NONE
    found = compared(made((-5, 3), (2, 2)), ran(2, 2, 3, 2), 4, *sums)
    assert (found.hours, found.recommended_node_hours, found.actual_node_hours) == (4, 10.0, 9.0)
    assert (found.more.hours, found.more.recommended_node_hours, found.more.actual_node_hours) == (2, 6.0, 4.0)
    assert found.more.attained == {"fast": 0.85}
    assert (found.fewer.hours, found.fewer.attained) == (1, {"fast": 1.0})
    assert (found.same.hours, found.same.attained) == (1, {"fast": None}), "without requests nothing was attained"


def test_a_change_within_an_hour_counts_by_time() -> None:
    found = compared(made((-1, 2), (0.25, 4)), ran(3.5), 1)
    assert found.points[0].recommended_nodes == pytest.approx(3.5)
    assert (found.same.hours, found.recommended_node_hours) == (1, 3.5)


def test_what_is_not_known_is_left_out_of_both_sums() -> None:
    found = compared(made((1, 3), (2, None), (3, 3)), ran(2, 2, 2, None, 2), 5)
    assert [one.recommended_nodes for one in found.points] == [None, 3.0, None, 3.0, 3.0]
    assert (found.hours, found.unknown_hours) == (2, 3)
    assert (found.recommended_node_hours, found.actual_node_hours) == (6.0, 4.0)
    assert shadow([], ran(2), {}, (START, START + HOUR)) is None


def test_the_chart_has_a_gap_where_nodes_are_not_known() -> None:
    found = steps(compared(made((0, 4)), ran(2, None, 4), 3))
    assert (found.width, found.most, found.recommended) == (12, 4, "M0,0H4V0H8V0H12")
    assert found.actual == "M0,48H4M8,0H12"

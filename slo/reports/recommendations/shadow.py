"""Recommended nodes beside the nodes that ran, hour by hour, and what was attained in those hours.

The recommendation is that for the cluster as it was, not for one that had followed it. So nothing is stated about what would have been
attained: only what was, in the hours in which more or fewer nodes were recommended than ran.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import fsum
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, Field

from plimsoll.slo.calendar import HOUR, rfc3339
from plimsoll.slo.ledger.rollup import NONE, Sums
from plimsoll.slo.reports.recommendations.followed import TOLERANCE
from plimsoll.slo.usage.slots import PoolSlot

Side = Literal["more", "fewer", "same"]


class ShadowHour(BaseModel):
    """An hour: mean nodes that were recommended, and that ran. `null`: not known."""

    at: str
    recommended_nodes: float | None
    actual_nodes: float | None


class ShadowSide(BaseModel):
    """The hours in which more, fewer, or as many nodes were recommended as ran."""

    hours: int = 0
    recommended_node_hours: float = 0.0
    actual_node_hours: float = 0.0
    attained: dict[str, float | None] = Field(
        default={},
        description="Good ratio of these hours by SLO, as observed with the nodes that ran. `null`: no requests.",
    )


class Shadow(BaseModel):
    """Recommendations beside the nodes that ran. Hours in which either isn't known are left out of the sums."""

    hours: int = Field(description="Hours in which both are known.")
    unknown_hours: int = Field(description="Hours so far in which one of them isn't.")
    recommended_node_hours: float
    actual_node_hours: float
    more: ShadowSide = Field(description="Hours in which more nodes were recommended than ran.")
    fewer: ShadowSide = Field(description="Hours in which fewer nodes were recommended than ran.")
    same: ShadowSide
    points: list[ShadowHour] = Field(description="Each hour of the week so far.")


class _Hour(NamedTuple):
    start: int
    recommended: float | None
    actual: float | None

    @property
    def side(self) -> Side | None:
        """Whether more, fewer or as many were recommended as ran; None where one isn't known."""
        if self.recommended is None or self.actual is None:
            return None
        more = self.recommended - self.actual
        return "more" if more > TOLERANCE else "fewer" if more < -TOLERANCE else "same"


def shadow(
    made: Sequence[dict[str, Any]],
    rows: Sequence[PoolSlot],
    counted: Mapping[str, Sequence[Sums]],
    span: tuple[int, int],
) -> Shadow | None:
    """Compare a pool's recommendations (newest first, with the last one before the span) with its slots in a span of Unix seconds.
    `counted` are the sums of each hour by SLO. None where no recommendation is known."""
    starts, ran = range(span[0], span[1], int(HOUR)), _ran(rows)
    hours = [
        _Hour(at, nodes, ran.get(at)) for at, nodes in zip(starts, _recommended(made, [*starts, span[1]]), strict=True)
    ]
    if all(one.recommended is None for one in hours):
        return None
    sides = {
        side: _side([(index, one) for index, one in enumerate(hours) if one.side == side], counted) for side in SIDES
    }
    return Shadow(
        hours=sum(one.hours for one in sides.values()),
        unknown_hours=sum(one.side is None for one in hours),
        recommended_node_hours=fsum(one.recommended_node_hours for one in sides.values()),
        actual_node_hours=fsum(one.actual_node_hours for one in sides.values()),
        **sides,
        points=[
            ShadowHour(at=rfc3339(one.start), recommended_nodes=one.recommended, actual_nodes=one.actual)
            for one in hours
        ],
    )


SIDES: tuple[Side, ...] = ("more", "fewer", "same")


def _side(hours: Sequence[tuple[int, _Hour]], counted: Mapping[str, Sequence[Sums]]) -> ShadowSide:
    attained = {}
    for name, sums in counted.items():
        total = NONE
        for index, _ in hours:
            total = total.plus(sums[index])
        attained[name] = total.good / total.total if total.total else None
    return ShadowSide(
        hours=len(hours),
        recommended_node_hours=fsum(one.recommended or 0.0 for _, one in hours),
        actual_node_hours=fsum(one.actual or 0.0 for _, one in hours),
        attained=attained,
    )


def _recommended(made: Sequence[dict[str, Any]], edges: Sequence[int]) -> list[float | None]:
    """Return the mean number of nodes recommended between each edge and the next; None unless it's known for all of that time.

    Each recommendation holds until the next one; one without data states no number.
    """
    changes = [(item["at"], item["recommended_nodes"]) for item in reversed(made)]
    times = [at for at, _ in changes]
    return [_mean(changes, times, start, end) for start, end in pairwise(edges)]


def _mean(changes: Sequence[tuple[float, int | None]], times: Sequence[float], start: int, end: int) -> float | None:
    first, last = bisect_right(times, start) - 1, bisect_left(times, end)
    standing = changes[max(0, first) : last]
    if first < 0 or any(number is None for _, number in standing):
        return None
    begins = [float(start), *(at for at, _ in standing[1:]), float(end)]
    return fsum(
        (until - since) * (number or 0) for (since, until), (_, number) in zip(pairwise(begins), standing, strict=True)
    ) / (end - start)


def _ran(rows: Sequence[PoolSlot]) -> dict[int, float]:
    """Return the mean number of nodes up by start of the hour, over the time observed; without hours in which none was."""
    sums: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in rows:
        if row.nodes is not None and row.covered_seconds:
            found = sums[row.slot // int(HOUR) * int(HOUR)]
            found[0] += row.nodes * row.covered_seconds
            found[1] += row.covered_seconds
    return {start: nodes / seconds for start, (nodes, seconds) in sums.items()}

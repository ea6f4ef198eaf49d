"""A small chart of two lines in steps, drawn as SVG paths: recommended nodes and those that ran."""

from collections.abc import Sequence
from typing import NamedTuple

from plimsoll.slo.reports.recommendations.shadow import Shadow

STEP, HEIGHT = 4, 96  # of an hour's width, and of the drawing


class Steps(NamedTuple):
    """The drawing's size, the paths' `d`, and the nodes at its top."""

    width: int
    height: int
    recommended: str
    actual: str
    most: int


def steps(shadow: Shadow) -> Steps:
    """Return the chart of a week. Hours that aren't known are gaps."""
    lines = [one.recommended_nodes for one in shadow.points], [one.actual_nodes for one in shadow.points]
    most = max(1, *(-(-value // 1) for line in lines for value in line if value is not None))
    recommended, actual = (_path(line, HEIGHT / most) for line in lines)
    return Steps(STEP * len(shadow.points), HEIGHT, recommended, actual, int(most))


def _path(line: Sequence[float | None], scale: float) -> str:
    parts, drawn = [], False
    for index, value in enumerate(line):
        if value is not None:
            parts.append(f"{'V' if drawn else f'M{STEP * index},'}{HEIGHT - value * scale:.4g}H{STEP * (index + 1)}")
        drawn = value is not None
    return "".join(parts)

"""A replica's start as exporters report it: only a process that began since the last observation is a restart."""

import pytest

from plimsoll.slo.metrics import REPLICA_START
from plimsoll.slo.metrics.engine import CLOCK_SKEW
from plimsoll.slo.sli.increments import increments, replicas
from plimsoll.slo.sources import Series

LABELS = {"replica": "r", "model": "m", "engine": "sglang"}


def counted(starts: list[float], values: list[float]) -> float:
    """What a counter grew by, read every 15 seconds from second 10,000 on."""
    times = [10_000.0 + 15 * place for place in range(len(starts))]
    series = Series(REPLICA_START.name, LABELS, list(zip(times, starts, strict=True)))
    (replica,) = replicas([series]).values()
    return sum(by for _, by in increments(list(zip(times, values, strict=True)), replica))


@pytest.mark.parametrize(
    ("starts", "values", "grown"),
    [
        # Unknown throughout; the counter falls: what it then has is new.
        ([0, 0, 0, 0], [1000, 1010, 4, 9], 10 + 4 + 5),
        # A fall that the exporter saw: a counter that is already past its old value counts in full, too.
        ([0, 0, 10_030, 10_030], [1000, 1010, 1500, 1501], 10 + 1500 + 1),
        # An exporter that lost its memory, and one that learns of the process: no restart.
        ([10_000 - 900, 10_000 - 900, 0, 0], [1000, 1010, 1020, 1030], 30),
        ([0, 0, 7_000, 7_000], [1000, 1010, 1020, 1030], 30),
        # Out of order: a counter of one process that reaches its old value again within a minute wasn't reset.
        ([5_000] * 6, [1000, 1010, 1008, 1010, 1020, 1030], 30),
        ([5_000] * 6, [1000, 1010, 1008, 1009, 1009, 1010], 10),
        ([5_000] * 8, [1000, 1010, 1008, 1009, 1009, 1009, 1009, 1010], 10 + 1008 + 2),  # not within a minute
        ([5_000] * 3, [1000, 1010, 1008], 10),  # not known yet
        ([5_000] * 3, [1000, 1010, 4], 10 + 4),  # far below what it was a minute before
        ([5_000] * 4, [10, 12, 3, 15], 2 + 15),
        ([5_000] * 8, [1000, 1002, 1004, 1006, 1008, 1010, 1001, 1010], 10 + 1010),  # it was 1002
        ([5_000, 5_000, 5_000, 10_040, 10_040], [1000, 1010, 1008, 3, 4], 10 + 4),  # the last page before a restart
        ([5_000] * 8 + [10_130], [1000, 1010, 1008, 1009, 1009, 1009, 1009, 1009, 3], 10 + 1008 + 1 + 3),
        # A restart, by a clock that is late.
        ([5_000, 10_015 - CLOCK_SKEW + 1, 10_015 - CLOCK_SKEW + 1], [1000, 3, 5], 3 + 2),
        ([5_000, 5_000, 10_016], [1000, 1010, 2000], 10 + 2000),
    ],
)
def test_a_start_is_a_restart_only_if_it_is_later_than_the_last_observation(
    starts: list[float], values: list[float], grown: float
) -> None:
    assert counted(starts, values) == grown

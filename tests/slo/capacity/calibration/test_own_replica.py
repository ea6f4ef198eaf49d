"""When a fit gives way to a newer one, and how it is written and read."""

from dataclasses import replace

import pytest

from calibration_world import POOL
from fits import FIT
from plimsoll.slo.capacity.calibration.measured_replica import LASTS, own, read, told


@pytest.mark.parametrize(
    ("widest", "later", "error", "outlives"),
    [
        (31.0, 3600.0, 0.14, True),
        (33.0, 3600.0, 0.14, False),  # as wide as it
        (31.0, 3600.0, 0.16, False),  # no longer true
        (31.0, 3600.0, None, False),  # not known to be true
        (31.0, LASTS - 1, 0.14, True),
        (31.0, LASTS + 1, 0.14, False),
    ],
)
def test_a_wider_fit_that_holds_outlives_a_narrower_one_for_a_week(
    widest: float, later: float, error: float | None, outlives: bool
) -> None:
    newer = replace(FIT, batches=(1.0, widest), until=FIT.until + later)
    assert own(POOL, FIT).outlives(newer, error) is outlives


def test_it_is_read_as_it_was_written_and_what_is_wrong_is_named() -> None:
    written = told(own(POOL, FIT))
    assert read(written) == own(POOL, FIT)
    assert written["says"] == (
        "a step takes 10.00 ms + 50 µs per sequence + 15 ns per token in the KV cache + 45 µs per prompt token; R² 0.970, "
        "median error 3.4%, from 203 intervals, batches of 2 to 40, 2023-11-14 22:13 to 2023-11-14 23:13 UTC"
    )
    with pytest.raises(ValueError, match="base"):
        read({**written, "base": "fast"})
    with pytest.raises(ValueError, match="since"):
        read({**written, "since": "yesterday"})
    with pytest.raises(ValueError, match="pool"):
        read({name: value for name, value in written.items() if name != "pool"})

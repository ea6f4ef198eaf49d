"""When a fit gives way to a newer one, and how it is written and read."""

from dataclasses import replace

import pytest

from calibration_world import POOL
from slo.capacity.calibration import Calibration
from slo.capacity.own import LASTS, own, read, told

FIT = Calibration(
    base=0.01,
    per_sequence=5e-5,
    per_kv_token=1.5e-8,
    per_prompt=0.0,
    per_prompt_token=4.5e-5,
    r_squared=0.97,
    error=0.034,
    intervals=203,
    since=1.7e9,
    until=1.7e9 + 3600,
    batches=(2.0, 40.0),
    contexts=(500.0, 1500.0),
    prompts=(400.0, 2000.0),
    replicas=("a", "b"),
    left_out={"c": 2.5},
    kv_tokens=235_200,
    most_running=52,
    ranks=1,
)


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

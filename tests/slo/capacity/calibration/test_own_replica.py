"""When a fit gives way to a newer one, and how it is written and read."""

import json
from dataclasses import replace

import pytest

from calibration_world import POOL
from fits import FIT
from plimsoll.slo.capacity.calibration.measured_replica import LASTS, from_json, measured_replica, sentence, to_json


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
    newer = replace(FIT, batch_size_range=(1.0, widest), until=FIT.until + later)
    assert measured_replica(POOL, FIT).outlives(newer, error) is outlives


def test_it_is_read_as_it_was_written_and_what_is_wrong_is_named() -> None:
    written = to_json(measured_replica(POOL, FIT))
    assert from_json(written) == measured_replica(POOL, FIT)
    body = json.loads(written)
    fit = body["step_times"]
    assert (fit["from"], fit["to"]) == ("2023-11-14T22:13:20Z", "2023-11-14T23:13:20Z")
    with pytest.raises(ValueError, match="base_seconds"):
        from_json(json.dumps({**body, "step_times": {**fit, "base_seconds": "fast"}}))
    with pytest.raises(ValueError, match="from"):
        from_json(json.dumps({**body, "step_times": {**fit, "from": "yesterday"}}))
    with pytest.raises(ValueError, match="pool"):
        from_json(json.dumps({name: value for name, value in body.items() if name != "pool"}))


def test_the_summary_is_one_sentence() -> None:
    assert sentence(FIT) == (
        "a step takes 10.00 ms + 50 µs per sequence + 15 ns per token in the KV cache + 45 µs per prompt token; R² 0.970, "
        "median error 3.4%, from 203 intervals, batches of 2 to 40, 2023-11-14 22:13 to 2023-11-14 23:13 UTC"
    )


def test_a_step_of_prompts_alone_has_the_base_and_one_with_both_has_it_once() -> None:
    for prompt_seconds in (0.0, 0.004, 0.02):
        model = replace(FIT, seconds_per_prompt=prompt_seconds).model
        tokens, decode = 800, 0.01 + 4 * (5e-5 + 1.5e-8 * 500)
        prefill = tokens * 4.5e-5
        assert model.prefill(tokens) == pytest.approx(max(0.01, prompt_seconds) + prefill)
        assert model.decode(4, 500) == pytest.approx(decode)
        both = model.together(model.prefill(tokens), model.decode(4, 500))
        assert both == pytest.approx(decode + prompt_seconds + prefill), "as it was fitted"

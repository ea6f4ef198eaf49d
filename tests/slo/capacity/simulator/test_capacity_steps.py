"""Step models: the file's coefficients against the sweep that they were fitted to."""

import csv
import os
from pathlib import Path

import pytest

from plimsoll.slo.capacity.simulator import step_time

SWEEP = {
    "70b-fp8-h100-tp4": ("nvidia/Llama-3.1-70B-Instruct-FP8", "h100_sxm", 17e-3),
    "70b-fp8-h200-tp4": ("nvidia/Llama-3.1-70B-Instruct-FP8", "h200_sxm", 16e-3),
    "8b-bf16-h100-tp1": ("meta-llama/Meta-Llama-3.1-8B", "h100_sxm", 9e-3),
}


@pytest.mark.skipif("PLIMSOLL_DATA" not in os.environ, reason="needs the measured steps: set PLIMSOLL_DATA")
@pytest.mark.parametrize("name", SWEEP)
@pytest.mark.parametrize("kind", ["prefill", "decode"])
def test_a_model_is_within_the_error_that_its_file_states(name: str, kind: str) -> None:
    model, system, _ = SWEEP[name]
    with (Path(os.environ["PLIMSOLL_DATA"]) / "aic_static_steps.csv").open() as file:
        rows = [
            row for row in csv.DictReader(file) if (row["model"], row["system"], row["kind"]) == (model, system, kind)
        ]
    assert len(rows) == {"prefill": 6, "decode": 18}[kind]
    fitted = step_time.load(name)
    errors = []
    for row in rows:
        batch, length = int(row["batch"]), int(row["context_or_isl"])
        seconds = fitted.prefill(batch * length) if kind == "prefill" else fitted.decode(batch, length)
        errors.append(abs(seconds * 1000 / float(row["ms"]) - 1))
    assert sum(errors) / len(errors) <= 0.055
    assert max(errors) <= 0.11


@pytest.mark.parametrize("name", SWEEP)
def test_a_step_costs_nothing_without_work_and_more_with_more_of_it(name: str) -> None:
    model, (*_, ceiling) = step_time.load(name), SWEEP[name]
    assert model.prefill(0) == model.decode(0, 0) == 0.0
    assert 0 < model.prefill(1) < model.prefill(2)
    assert 1e-3 < model.decode(1, 1) < model.decode(1, 2) < model.decode(2, 2) < ceiling


def test_an_unknown_replica_is_named_with_those_that_are_known() -> None:
    with pytest.raises(ValueError, match=r"'70b'; known are 70b-fp8-h100-tp4, 70b-fp8-h200-tp4, 8b-bf16-h100-tp1"):
        step_time.load("70b")
    assert set(step_time.names()) == set(SWEEP)

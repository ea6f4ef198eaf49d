"""What-if of a pool's own replica, as its calibration has it: by API, page and command; as it is, and on other hardware."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from calibration_world import POOL, SPEC, Held
from fits import FIT
from plimsoll.compose.cli import main
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES
from plimsoll.slo.capacity.calibration.measured_replica import MeasuredReplica, measured_replica, to_json
from plimsoll.slo.capacity.model.hardware import Hardware
from plimsoll.slo.capacity.model.prices import packaged
from plimsoll.slo.capacity.recommendation.demand import LatencyTarget
from plimsoll.slo.capacity.simulator.step_time import load as load_steps
from plimsoll.slo.capacity.whatif.evaluate import whatif
from plimsoll.slo.capacity.whatif.measured_scaling import Bits, bits_of, hardware_of, room, timing
from plimsoll.slo.capacity.whatif.request import WhatIfRequest
from plimsoll.slo.capacity.whatif.request_mix import Kind
from plimsoll.slo.capacity.whatif.scenario import Scenario, arithmetic
from plimsoll.slo.ledger.documents import CalibrationAttempt, save_attempt
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service

MODEL = load_steps("70b-fp8-h100-tp4")
# The step times of a replica that is on record, without what a fit cannot tell, as if a pool on two H100 had been fitted to them.
KNOWN = replace(MODEL, prefill_per_token_squared=0.0)
ALONE = KNOWN.decode_base  # of a step of prompts alone, which nobody decodes in: as long as any other's base
STEPS = replace(KNOWN, prefill_base=ALONE, shared=ALONE - KNOWN.prefill_base)
MINE = measured_replica(
    POOL,
    replace(
        FIT,
        base_seconds=KNOWN.decode_base,
        seconds_per_sequence=KNOWN.decode_per_sequence,
        seconds_per_kv_token=KNOWN.decode_per_kv_token,
        seconds_per_prompt=KNOWN.prefill_base,
        seconds_per_prompt_token=KNOWN.prefill_per_token,
        context_tokens_range=(300.0, 1500.0),
    ),
)
PER_TOKEN = 327_680  # bytes: 2 x 80 layers x 8 heads x 128 x 2
QUESTION = Scenario(
    "measured", (Kind(500, 200),), LatencyTarget(0.6, 0.04, 0.95), 40.0, kv_value_bytes=None, measured_replica=MINE
)


def fitted(**changed: object) -> MeasuredReplica:
    return replace(MINE, step_times=replace(MINE.step_times, **changed))  # type: ignore[arg-type]


def test_weights_and_cache_are_told_by_what_is_left_for_the_cache_or_not_at_all() -> None:
    """70B on two H100: 144 GB usable, less 2 and the 70 of FP8 weights: 72 GB at 327,680 bytes hold 219,726 tokens."""
    assert bits_of(MINE) == Bits(8, 2)
    assert bits_of(fitted(kv_cache_capacity_tokens=440_000)) == Bits(8, 1)
    assert bits_of(fitted(kv_cache_capacity_tokens=100_000)) == Bits(None, None)
    assert bits_of(replace(MINE, model="Qwen/Qwen3-32B")) == Bits(None, None)
    assert bits_of(replace(MINE, gpu="V100-32GB")) == Bits(None, None)


def test_the_pools_own_hardware_has_its_fitted_steps_and_the_cache_that_its_engine_reports() -> None:
    found = timing(MINE, hardware_of(MINE))
    assert (found.models, found.measured) == ((STEPS,), True)
    here = room(MINE, hardware_of(MINE), None, 700, 0)
    assert (here.tokens, here.requests) == (235_200, 336)
    assert room(MINE, hardware_of(MINE), 1, 700, 0).tokens == 2 * 235_200
    assert room(MINE, hardware_of(MINE), 2, 700, 0).tokens == 235_200
    steps = arithmetic(QUESTION)
    assert "KV cache: 235,200 tokens, as reported by the pool's engines" in steps
    assert "stored: weights of 8 bits and a KV cache of 16 bits; only these fit the reported cache size" in steps
    assert any(step.startswith("fitted: a step takes 10.31 ms + 36.7 µs per sequence") for step in steps)
    assert "largest batch: 256 (assumed; engines do not report it); observed: 52" in steps


def test_other_hardware_has_that_much_more_memory_and_steps_within_a_band() -> None:
    """Two H200 have 2 x 61 GB x 0.9 more; four H100 2 x (72 - 1) GB; weights of 4 bits take 35 GB less."""
    h200 = Hardware("H200-141GB", 2, 8)
    for on, more in ((h200, 109.8e9), (Hardware("H100-80GB", 4, 8), 142e9), (Hardware("H100-80GB", 2, 4), 35e9)):
        there = room(MINE, on, None, 700, 0)
        assert there.tokens == 235_200 + int(more // PER_TOKEN)
        assert there.kv_bytes == pytest.approx(235_200 * PER_TOKEN + more, rel=1e-4)
        assert room(MINE, on, 1, 700, 0).kv_bytes == there.kv_bytes
    found = timing(MINE, h200)
    fast, slow = found.models
    assert not found.measured
    assert fast.decode(8, 700) < slow.decode(8, 700) < KNOWN.decode(8, 700)
    assert "step times: not measured; the pool's own, scaled" in found.steps


def test_what_is_not_known_is_said_and_not_guessed() -> None:
    other = replace(MINE, model="Qwen/Qwen3-32B")
    h200 = room(other, Hardware("H200-141GB", 2, None), None, 700, 0)
    assert h200.tokens == 235_200
    assert h200.kv_bytes is None
    assert any("the shape of Qwen/Qwen3-32B is unknown" in step for step in h200.steps)
    assert timing(other, Hardware("H200-141GB", 2, None)).models[0].decode_base < KNOWN.decode_base
    with pytest.raises(ValueError, match="weight_bits 4: how many those of the measured replica have is not known"):
        timing(other, Hardware("H100-80GB", 2, 4))
    with pytest.raises(ValueError, match="2 data-parallel ranks"):
        timing(fitted(data_parallel_size=2), hardware_of(MINE))
    unknown = replace(MINE, gpu="V100-32GB")
    with pytest.raises(ValueError, match="price is not on record"):
        WhatIfRequest().scenario(QUESTION.target, None, {}, packaged(), replica=unknown)
    assert WhatIfRequest().scenario(QUESTION.target, None, {}, packaged(), 2.0, unknown).measured_replica == unknown


@pytest.mark.parametrize(("error", "models"), [(0.15, 1), (0.16, 2)])
def test_a_fit_that_is_not_good_is_a_band(error: float, models: int) -> None:
    found = timing(fitted(median_relative_error=error), hardware_of(MINE))
    assert (len(found.models), found.measured) == (models, True)
    if models == 2:
        assert found.models == (STEPS.times(1 - error), STEPS.times(1 + error))


@pytest.mark.slow
def test_the_answer_is_that_of_the_replica_that_was_fitted() -> None:
    found, known = (
        whatif(QUESTION),
        whatif(replace(QUESTION, replica="70b-fp8-h100-tp4", kv_value_bytes=2, measured_replica=None)),
    )
    assert found is not None
    assert known is not None
    assert found.step_times_measured
    assert found.max_requests_per_second[0] == pytest.approx(
        known.max_requests_per_second[0], rel=0.1
    )  # the square of a prompt's length is all that is missing
    unsure = whatif(replace(QUESTION, measured_replica=fitted(median_relative_error=0.2)))
    assert unsure is not None
    assert (
        unsure.max_requests_per_second[0]
        < found.max_requests_per_second[0]
        <= found.max_requests_per_second[1]
        < unsure.max_requests_per_second[1]
    )


@pytest.fixture
def ledger(tmp_path: Path, open_ledger: Callable[[str], Ledger]) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path}/ledger.db")


@pytest.mark.slow
def test_api_page_and_command_ask_the_pools_own_replica_once_it_is_known(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = TestClient(create_app(Service(SPEC, Held(), ledger, lambda: FIT.until)))
    path = f"/api/v1/pools/{POOL.name}/whatif"
    rejected = client.get(path, params={"replica": "measured"})
    assert (rejected.status_code, "its calibration" in rejected.text) == (422, True)
    assert client.get(path, params={"request_rate": 5}).json()["replica"] == POOL.model
    save_attempt(ledger.engine, CalibrationAttempt(POOL.name, FIT.until, None, to_json(MINE)))

    mine = client.get(path, params={"request_rate": 40}).json()
    assert (mine["replica"], mine["result"]["step_times_measured"]) == ("measured", True)
    assert (mine["inputs"]["gpu"], mine["inputs"]["tensor_parallel_size"], mine["inputs"]["weight_bits"]) == (
        "H100-80GB",
        2,
        8,
    )
    assert client.get(path, params={"request_rate": 40, "replica": "measured"}).json() == mine
    assert mine["result"]["usd_per_hour"][0] == mine["result"]["nodes"][0] * 4.0
    far = client.get(path, params={"request_rate": 40, "input_tokens": 3000, "output_tokens": 100}).json()[
        "calculation"
    ]
    assert any(
        step.startswith("extrapolated: prompts of 3,000 tokens; the fit covers means of 400 to 2,000") for step in far
    )

    page = client.get(f"/pools/{POOL.name}/whatif", params={"request_rate": 40}).text
    assert "Measured on this pool" in page
    assert "Replica: 2 × H100-80GB" in page and "(measured on this pool)" in page

    file = tmp_path / "calibration.json"
    for body in (
        {"pools": [{"pool": POOL.name, "calibration": json.loads(to_json(MINE)), "reason": None}]},
        client.get(f"/api/v1/pools/{POOL.name}/calibration").json(),
    ):
        file.write_text(json.dumps(body))
        assert (
            main(["whatif", "--pool", POOL.name, "--calibration-file", str(file), "--request-rate", "40", "--json"])
            == 0
        )
        assert json.loads(capsys.readouterr().out) == mine


@pytest.mark.parametrize(
    ("body", "arguments", "says"),
    [
        ("{}", [], "--calibration-file requires --pool NAME."),
        ("[1]", ["--pool", POOL.name], "is not what `plimsoll calibrate --json` prints"),
        ('{"pools": []}', ["--pool", POOL.name], f"has no step times of pool '{POOL.name}'"),
    ],
)
def test_a_file_that_is_none_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], body: str, arguments: list[str], says: str
) -> None:
    file = tmp_path / "calibration.json"
    file.write_text(body)
    assert main(["whatif", "--calibration-file", str(file), *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_file_of_another_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objectives, file = tmp_path / "objectives.yaml", tmp_path / "calibration.json"
    objectives.write_text(DEFAULT_OBJECTIVES.read_text().replace("gpus: 2", "gpus: 4"))
    file.write_text(
        json.dumps({"pools": [{"pool": POOL.name, "calibration": json.loads(to_json(MINE)), "reason": None}]})
    )
    asked = ["whatif", "--pool", POOL.name, "--objectives", str(objectives), "--calibration-file", str(file)]
    assert main(asked) == 2
    assert "on 2 x H100-80GB; calibrate the pool again" in capsys.readouterr().err

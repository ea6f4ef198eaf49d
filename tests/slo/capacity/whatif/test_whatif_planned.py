"""What-if of any model on any GPU: answered step by step or refused with the reason, and requests in flight as a closed loop measures."""

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from plimsoll.compose.cli import main
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.whatif.concurrency import at_concurrency, closed_loop
from plimsoll.slo.capacity.whatif.request_mix import Kind
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import load
from world import World

CONSTANT = StepModel(0.1, 0.0, 0.0, 0.02, 0.0, 0.0)
KINDS = (Kind(1000, 101),)
LLAMA = ("--model", "meta-llama/Llama-3.3-70B-Instruct", "--weight-bits", "8")
ASKED = ("--input-tokens", "500", "--output-tokens", "50", "--request-rate", "5", "--concurrency", "4")


def test_one_in_flight_takes_the_time_of_its_prompt_and_its_tokens() -> None:
    found = closed_loop(CONSTANT, Limits(), KINDS, 1, False)
    assert found == pytest.approx((101 / (0.1 + 100 * 0.02), 0.1, 0.02))


def test_several_in_step_share_prompts_and_more_than_the_batch_wait() -> None:
    together = closed_loop(CONSTANT, Limits(), KINDS, 8, False)
    assert together == pytest.approx((8 * 101 / (0.1 + 100 * 0.02), 0.1, 0.02))
    waiting = closed_loop(CONSTANT, Limits(max_num_seqs=4), KINDS, 8, False)
    assert waiting.tokens_per_second == pytest.approx(together.tokens_per_second / 2, rel=0.05)
    assert waiting.ttft > 1.0


def test_the_range_holds_both_ways_to_begin_and_both_step_models() -> None:
    models = (CONSTANT.times(0.8), CONSTANT.times(1.25))
    found = at_concurrency(models, Limits(), KINDS, 8)
    for model in models:
        for spread in (False, True):
            run = closed_loop(model, Limits(), KINDS, 8, spread)
            assert found.output_tokens_per_second[0] <= run.tokens_per_second <= found.output_tokens_per_second[1]
            assert found.ttft_seconds[0] <= run.ttft <= found.ttft_seconds[1]
            assert found.tpot_seconds[0] <= run.tpot <= found.tpot_seconds[1]


def test_what_a_step_of_both_parts_shares_is_done_once() -> None:
    shares = StepModel(0.1, 0.0, 0.0, 0.02, 0.0, 0.0, shared=0.015)
    assert shares.together(0.1, 0.02) == pytest.approx(0.105)
    assert (shares.together(0.1, 0.0), shares.together(0.0, 0.02)) == (0.1, 0.02)
    assert StepModel(0.1, 0, 0, 0.02, 0, 0, shared=1.0).together(0.1, 0.02) == 0.1, "never less than its longer part"
    apart, once = (closed_loop(model, Limits(), KINDS, 8, True) for model in (CONSTANT, shares))
    assert once.tokens_per_second > apart.tokens_per_second


@pytest.mark.timeout(60)
def test_short_requests_end_at_the_rate_of_a_full_replica(capsys: pytest.CaptureFixture[str]) -> None:
    """All of a draw would be in time at any rate: the search once had no end."""
    wide = ["--slo", "60000/60000/95", "--input-tokens", "50", "--output-tokens", "5"]
    assert main(["whatif", *wide, "--json"]) == 0
    low, high = json.loads(capsys.readouterr().out)["result"]["max_requests_per_second"]
    assert 100 < low <= high < 400, "70B on four H100 computes 50 tokens in 11 ms"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        (
            (*LLAMA, "--gpu", "H100-80GB", "--tensor-parallel-size", "2"),
            ("327,680 bytes a token", "measured operators"),
        ),
        ((*LLAMA, "--gpu", "H200-141GB"), ("weights: 1 x 67.66 GiB", "measured operators")),
        ((*LLAMA, "--gpu", "B200-192GB"), ("weights: 1 x 67.66 GiB", "measured operators")),
        ((*LLAMA, "--gpu", "L40S-48GB", "--tensor-parallel-size", "4"), ("linked through the host",)),
        ((*LLAMA, "--gpu", "MI300X-192GB"), ("a roofline", "no measurements of MI300X-192GB", "0.70 to 2.20 times")),
        (("--model", "Qwen/Qwen3.5-27B", "--gpu", "H200-141GB"), ("153,944,064 bytes a request, whatever its length",)),
        (
            ("--model", "deepseek-ai/DeepSeek-V4-Flash", "--gpu", "H200-141GB", "--tensor-parallel-size", "2"),
            ("as the kind of cache is its own", "a roofline", "MoE data missing"),
        ),
        (
            ("--model", "google/gemma-4-31B-it", "--gpu", "H100-80GB"),
            ("of the last 1,024 tokens at most", "a roofline"),
        ),
        (
            (
                "--model",
                "meta-llama/Llama-4-Scout-17B-16E-Instruct",
                "--gpu",
                "H100-80GB",
                "--tensor-parallel-size",
                "4",
            ),
            ("196,608 bytes a token", "measured operators"),
        ),
        (
            ("--model", "meta-llama/Llama-3.1-8B-Instruct", "--gpu", "A100-80GB"),
            ("131,072 bytes a token", "measured operators"),
        ),
        (("--model", "meta-llama/Llama-3.1-8B-Instruct", "--gpu", "L4-24GB"), ("131,072 bytes a token", "a roofline")),
    ],
)
def test_models_and_gpus_of_the_source_documents_are_answered_step_by_step(
    arguments: tuple[str, ...], steps: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aiconfigurator_core")
    assert main(["whatif", *arguments, *ASKED]) == 0
    printed = capsys.readouterr().out
    for step in ("memory: ", "weights: ", "KV cache: ", "concurrent requests: ", "band: ", *steps):
        assert step in printed
    assert "output tokens/s" in printed


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--model", "BAAI/bge-m3", "--gpu", "L4-24GB"), "generates no tokens"),
        (("--model", "meta-llama/Llama-3.1-8B-Instruct"), "--gpu of 'meta-llama/Llama-3.1-8B-Instruct': is not given"),
        (("--model", "own/model", "--gpu", "L4-24GB"), "give its config.json"),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    arguments: tuple[str, ...], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("aiconfigurator_core")
    assert main(["whatif", *arguments]) == 2
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1


@pytest.mark.slow
def test_a_pool_is_answered_for_its_model_gpu_and_count_or_not_at_all(tmp_path: Path) -> None:
    pytest.importorskip("aiconfigurator_core")
    text = DEFAULT_OBJECTIVES.read_text()
    small = text.replace("meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-8B-Instruct")
    small = small.replace("gpu: H100-80GB, gpus: 2", "gpu: L40S-48GB, gpus: 1")

    def client(spec: str) -> TestClient:
        ledger = Ledger(open_database(f"sqlite:///{tmp_path}/{abs(hash(spec))}.db"))
        return TestClient(create_app(Service(load(spec), World({}, {}), ledger, lambda: 1_700_000_400.0)))

    path, asked = "/api/v1/pools/chat-70b/whatif", {"request_rate": 5, "output_tokens": 50, "concurrency": 4}
    found = client(small).get(path, params=asked).json()
    inputs = found["inputs"]
    assert (found["replica"], inputs["gpu"]) == ("meta-llama/Llama-3.1-8B-Instruct", "L40S-48GB")
    assert (inputs["tensor_parallel_size"], inputs["weight_bits"]) == (1, 16)
    assert [row["concurrent_requests"] for row in found["at_concurrency"]] == [4]
    other = client(small).get(path, params={**asked, "replica": "70b-fp8-h100-tp4"})
    assert (other.status_code, "is not of meta-llama/Llama-3.1-8B-Instruct" in other.text) == (422, True)
    unknown = client(text.replace("meta-llama/Llama-3.3-70B-Instruct", "m/x")).get(path, params=asked)
    assert (unknown.status_code, "its shape is not known" in unknown.text) == (422, True)

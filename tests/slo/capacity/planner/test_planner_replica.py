"""A planned replica: memory as the operators' package has it, step times within their bands, and refusals with a reason."""

import json
import sys
from typing import Any

import pytest

from plimsoll.compose.cli import main
from plimsoll.slo.capacity.model import memory
from plimsoll.slo.capacity.planner import operators, planned_replica, roofline
from plimsoll.slo.capacity.planner.architecture import read
from plimsoll.slo.capacity.planner.operators import Deployed
from plimsoll.slo.capacity.planner.planned_replica import narrowed, plan, room, timing

pytest.importorskip("aiconfigurator_core")

LLAMA, SMALL = "meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Llama-3.1-8B-Instruct"
CONFIG = "meta-llama/Meta-Llama-3.1-70B"


def test_the_cache_is_what_the_package_leaves_and_our_arithmetic_fills_it_alike() -> None:
    found = room(plan(LLAMA, "H100-80GB", 2, 8, "vllm"), 2, 700, 0)
    theirs = operators.room(Deployed(CONFIG, "H100-80GB", 2, "vllm", 8, 16), 0.9, 8192, 256)
    assert found.tokens == pytest.approx(theirs.tokens, abs=1400)
    assert found.requests == theirs.tokens // 700
    assert found.kv_bytes == 2 * theirs.kv_cache
    assert room(plan(LLAMA, "H100-80GB", 2, 8, "vllm"), 1, 700, 0).tokens == pytest.approx(2 * found.tokens, rel=0.001)


def test_a_common_prefix_is_held_once() -> None:
    planned = plan(SMALL, "H100-80GB", 1, 16, "vllm")
    assert (
        room(planned, 2, 1000, 0).requests
        < room(planned, 2, 1000, 900).requests
        <= 10 * room(planned, 2, 1000, 0).requests
    )


@pytest.mark.parametrize(
    ("model", "gpu", "gpus", "bits"),
    [
        (LLAMA, "H200-141GB", 1, 8),
        (SMALL, "A100-80GB", 1, 16),
        ("Qwen/Qwen3.5-27B", "H200-141GB", 1, 16),
        ("Qwen/Qwen3-30B-A3B", "H100-80GB", 1, 16),
    ],
)
def test_step_times_hold_the_operators_that_they_are_fitted_to(model: str, gpu: str, gpus: int, bits: int) -> None:
    planned = plan(model, gpu, gpus, bits, "vllm")
    fast, slow = timing(planned, 2, (1000, 500), 128).models
    step = operators.step(planned.deployed(2), 1000, 500)
    for batch in (1, 16, 64, 128):
        assert fast.decode(batch, 1250) < step(0, batch, 1250) / 1000 < slow.decode(batch, 1250)
    for tokens in (512, 2048, 8192):
        assert fast.prefill(tokens) < step(tokens, 0, 1250) / 1000 < slow.prefill(tokens)
    both = step(2032, 16, 1250) / 1000
    assert fast.together(fast.prefill(2032), fast.decode(16, 1250)) < both
    assert slow.together(slow.prefill(2032), slow.decode(16, 1250)) > both


@pytest.mark.parametrize(
    ("model", "gpu", "gpus", "bits"),
    [
        (LLAMA, "H100-80GB", 4, 8),
        (LLAMA, "A100-80GB", 4, 16),
        (SMALL, "L40S-48GB", 1, 16),
        ("Qwen/Qwen3-32B", "H200-141GB", 1, 16),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "H200-141GB", 4, 16),
    ],
)
def test_the_roofline_band_holds_what_was_measured(model: str, gpu: str, gpus: int, bits: int) -> None:
    planned = plan(model, gpu, gpus, bits, "vllm")
    assert planned.sizes is not None
    line = roofline.step(planned.sizes, memory.load_gpu(gpu), gpus, bits, 2)
    measured = operators.step(planned.deployed(2), 1000, 500)
    low, high = planned_replica.ROOFLINE
    for tokens, batch in ((0, 1), (0, 32), (0, 128), (512, 0), (2048, 0), (8192, 0)):
        assert low * line(tokens, batch, 1000) < measured(tokens, batch, 1000) < high * line(tokens, batch, 1000)


def test_a_model_of_its_config_alone_is_a_wide_band_that_names_its_reason() -> None:
    config = json.dumps(
        dict(operators.configurations()["meta-llama/Meta-Llama-3.1-8B"]) | {"architectures": ["NewForCausalLM"]}
    )
    found = timing(plan("own/new-model", "H100-80GB", 1, None, "vllm", config), 2, (500, 200), 64)
    assert found.models[1].decode(8, 600) / found.models[0].decode(8, 600) == pytest.approx(1.7 / 0.7, rel=0.02)
    assert found.steps[0].startswith("step times: a roofline of own/new-model") and not found.measured
    known = timing(
        plan("own/known-model", "H100-80GB", 1, None, "vllm", config.replace("NewFor", "LlamaFor")), 2, (500, 200), 64
    )
    assert known.steps[0].startswith("step times: measured operators of own/known-model")


def test_gpus_without_operators_are_a_wider_roofline() -> None:
    fast, slow = timing(plan(LLAMA, "MI300X-192GB", 1, 8, "vllm"), 2, (500, 200), 64).models
    assert slow.decode(8, 600) / fast.decode(8, 600) == pytest.approx(2.2 / 0.7, rel=0.02)


def test_gpus_that_are_linked_through_the_host_may_be_as_fast_as_the_roofline() -> None:
    planned = plan(LLAMA, "L40S-48GB", 4, 8, "vllm")
    fast, slow = timing(planned, 2, (500, 200), 64).models
    measured = operators.step(planned.deployed(2), 500, 200)(4096, 0, 600) / 1000
    assert fast.prefill(4096) < measured / 3 and slow.prefill(4096) > measured


@pytest.mark.parametrize(
    ("gpus", "bits", "why"),
    [(4, 16, "by its configuration"), (2, 16, "by its configuration"), (1, 4, "as more do not fit into 1 x H100-80GB")],
)
def test_a_pool_that_runs_has_the_most_bits_that_fit(gpus: int, bits: int, why: str) -> None:
    found = narrowed(plan(LLAMA, "H100-80GB", gpus, None, "vllm"), 2)
    assert found.hardware.weight_bits == bits and why in found.bits_from


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("BAAI/bge-m3", "H100-80GB", 1, None, "vllm"), "generates no tokens"),
        (("own/unknown", "H100-80GB", 1, None, "vllm"), "its shape is not known to AIConfigurator"),
        ((LLAMA, "H100", 1, None, "vllm"), "gpu 'H100': is not on record; known are H100-80GB"),
        ((LLAMA, "H100-80GB", 16, None, "vllm"), "tensor_parallel_size 16"),
        (("x", "H100-80GB", 1, None, "vllm", "{"), "config_json: not JSON"),
        (("x", "H100-80GB", 1, None, "vllm", '{"hidden_size": 64}'), "num_hidden_layers or n_layer"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_the_reason(arguments: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        plan(*arguments)


def test_without_the_extra_one_line_names_it_and_a_table_on_record_still_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    for name in ("aiconfigurator_core", "aiconfigurator_core.sdk"):
        monkeypatch.setitem(sys.modules, name, None)  # as where it is not installed
    for cache in (operators.configurations, operators.engine, operators.room):
        cache.cache_clear()
    assert main(["whatif", "--pool", "chat-70b"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "pip install 'plimsoll-slo[planner]'" in error
    config = tmp_path / "config.json"
    config.write_text(json.dumps(dict(read_config())))
    assert main(["whatif", "--model", "own/model", "--model-config", str(config), "--gpu", "H100-80GB"]) == 0
    assert "a roofline of own/model" in capsys.readouterr().out


def read_config() -> dict[str, Any]:
    config = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_hidden_layers": 32}
    read(config | {"vocab_size": 128256})
    return config | {"num_key_value_heads": 8, "vocab_size": 128256}

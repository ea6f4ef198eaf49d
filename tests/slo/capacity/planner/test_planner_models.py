"""Models by their config.json: parameters as published, the cache of a request byte by byte, and names that stand for one shape."""

import json
from typing import Any

import pytest

from plimsoll.slo.capacity.planner.architecture import Cache, embeds, read
from plimsoll.slo.capacity.planner.checkpoints import find, named_bits

LLAMA_70B = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_attention_heads": 64,
    "num_hidden_layers": 80,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
    "vocab_size": 128256,
}
DEEPSEEK_V3 = {
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "num_hidden_layers": 61,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "vocab_size": 129280,
    "quantization_config": {"quant_method": "fp8"},
}
QWEN35_27B = {
    "text_config": {
        "attn_output_gate": True,
        "head_dim": 256,
        "hidden_size": 5120,
        "intermediate_size": 17408,
        "layer_types": (["linear_attention"] * 3 + ["full_attention"]) * 16,
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 48,
        "linear_value_head_dim": 128,
        "num_attention_heads": 24,
        "num_hidden_layers": 64,
        "num_key_value_heads": 4,
        "vocab_size": 248320,
    },
    "tie_word_embeddings": False,
}
GEMMA = {
    "hidden_size": 5376,
    "intermediate_size": 21504,
    "head_dim": 256,
    "global_head_dim": 512,
    "layer_types": (["sliding_attention"] * 5 + ["full_attention"]) * 10,
    "sliding_window": 1024,
    "num_attention_heads": 32,
    "num_key_value_heads": 16,
    "num_global_key_value_heads": 4,
    "num_hidden_layers": 60,
    "tie_word_embeddings": True,
    "vocab_size": 262144,
}


@pytest.mark.parametrize(
    ("config", "parameters", "active", "bits"),
    [
        (LLAMA_70B, 70.6e9, 70.6e9, 16),  # model card: 70.6B
        (DEEPSEEK_V3, 671e9, 37e9, 8),  # arXiv 2412.19437: 671B, of which 37B are activated for each token
        (QWEN35_27B, 27e9, 27e9, 16),  # by its name
        (GEMMA, 31e9, 31e9, 16),  # by its name
    ],
)
def test_parameters_are_those_that_were_published(
    config: dict[str, Any], parameters: float, active: float, bits: int
) -> None:
    found = read(config)
    assert found.parameters == pytest.approx(parameters, rel=0.035)
    assert found.active_parameters == pytest.approx(active, rel=0.035)
    assert found.weight_bits == bits


def test_a_request_keeps_k_and_v_of_every_layer() -> None:
    """Document D: 327,680 bytes a token in BF16; on more GPUs than KV heads every GPU beyond holds a copy."""
    model = read(LLAMA_70B)
    assert model.of_request(1000, 2, 1) == model.of_request(1000, 2, 8) == 327_680 * 1000
    assert model.of_request(1000, 1, 4) == 163_840 * 1000
    assert Cache("", 1, 100, 4).of_request(10, 2, 8) == 2 * Cache("", 1, 100, 4).of_request(10, 2, 4)


def test_a_latent_is_small_and_on_every_gpu() -> None:
    assert read(DEEPSEEK_V3).of_request(1, 2, 1) == 61 * 576 * 2
    assert read(DEEPSEEK_V3).of_request(1, 2, 8) == 8 * 61 * 576 * 2


def test_a_window_stops_growing_and_a_state_never_grows() -> None:
    gemma, qwen = read(GEMMA), read(QWEN35_27B)
    near, all_ = 50 * 2 * 16 * 256 * 2, 10 * 2 * 4 * 512 * 2
    assert gemma.of_request(1000, 2, 1) == 1000 * (near + all_)
    assert gemma.of_request(5000, 2, 1) == 1024 * near + 5000 * all_
    state = 48 * (48 * 128 * 128 * 4 + (2 * 16 * 128 + 48 * 128) * 3 * 2)
    assert qwen.of_request(1, 2, 1) == state + 65_536
    assert qwen.of_request(1001, 2, 1) == state + 1001 * 65_536


def test_a_step_reads_the_experts_that_its_tokens_pick() -> None:
    model = read(DEEPSEEK_V3)
    assert model.parameters_read(1) == pytest.approx(model.active_parameters)
    assert model.parameters_read(8) < model.parameters_read(64) < model.parameters
    assert model.parameters_read(10_000) == pytest.approx(model.parameters)


@pytest.mark.parametrize(
    "strange", [{"hybrid_override_pattern": "M-M*"}, {"block_configs": [{}]}, {"hidden_size": None}]
)
def test_what_is_not_known_is_an_error_and_no_number(strange: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(strange))):
        read(LLAMA_70B | strange)
    assert read(LLAMA_70B | {"compress_ratios": [4]}).of_request(1, 2, 1) is None


@pytest.mark.parametrize(
    ("name", "config", "bits"),
    [
        ("meta-llama/Llama-3.3-70B-Instruct", "meta-llama/Meta-Llama-3.1-70B", None),
        ("RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic", "meta-llama/Meta-Llama-3.1-8B", 8),
        ("nvidia/Llama-3.3-70B-Instruct-FP4", "meta-llama/Meta-Llama-3.1-70B", 4),
        ("Qwen/Qwen3-8B-AWQ", "Qwen/Qwen3-8B", 4),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B", None),
        ("nvidia/Qwen3-8B-NVFP4", "nvidia/Qwen3-8B-NVFP4", 4),
        ("Qwen/Qwen3-80B", None, None),
        ("m", None, None),
    ],
)
def test_names_of_one_shape_are_found_and_others_are_not(name: str, config: str | None, bits: int | None) -> None:
    known = ("meta-llama/Meta-Llama-3.1-70B", "meta-llama/Meta-Llama-3.1-8B", "Qwen/Qwen3-8B", "nvidia/Qwen3-8B-NVFP4")
    found = find(name, known)
    assert (found and found.config) == config
    assert named_bits(name) == bits


def test_models_that_make_embeddings_are_known_by_name_or_architecture() -> None:
    assert (
        embeds("BAAI/bge-m3")
        and embeds("Qwen/Qwen3-Embedding-8B")
        and embeds("x", {"architectures": ["XLMRobertaModel"]})
    )
    assert not embeds("meta-llama/Llama-3.3-70B-Instruct", json.loads(json.dumps(LLAMA_70B)))

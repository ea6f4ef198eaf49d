"""A model's size by its config.json: parameters, and what a request keeps in GPU memory.

Field names are those of Hugging Face transformers. Attention with a KV cache per token, in a sliding window, as a latent (MLA), and
linear attention with a state of fixed size are known. Of other kinds the cache stays unknown: it is never guessed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

KEY_AND_VALUE = 2
STATE_BYTES = 4  # of a number in the state of linear attention: vLLM keeps it in 32 bits
EMBEDDING = ("embed", "bge-", "e5-", "gte-", "rerank", "minilm", "bert")
UNLIKE = ("block_configs", "hybrid_override_pattern", "layers_block_type", "linear_attn_config")
GENERATES = ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")


@dataclass(frozen=True, slots=True)
class Cache:
    """Layers of one kind and what each keeps of a request: `numbers` for every token, of the last `window` ones only (None: all);
    `state` bytes that do not grow. `heads` can be dealt to as many GPUs; a latent has one."""

    what: str
    layers: int
    numbers: int
    heads: int
    window: int | None = None
    state: int = 0

    def of_request(self, tokens: int, value_bytes: float, gpus: int) -> float:
        """Bytes of a request of `tokens` tokens, on all GPUs together: what cannot be dealt to them is there on each."""
        held = min(tokens, self.window) if self.window else tokens
        copies = max(1.0, gpus / self.heads)
        return self.layers * (held * self.numbers * value_bytes * copies + self.state)

    def step(self, value_bytes: float, gpus: int) -> str:
        """One line of arithmetic."""
        if self.state:
            return f"{self.what}: {self.layers} layers x {self.state:,} bytes = {self.layers * self.state:,} bytes a request, whatever its length"
        copies = max(1, gpus // self.heads)
        per_token = self.layers * self.numbers * value_bytes * copies
        twice = f" x {copies} copies on {gpus} GPUs" if copies > 1 else ""
        window = f", of the last {self.window:,} tokens at most" if self.window else ""
        return f"{self.what}: {self.layers} layers x {self.numbers:,} numbers x {value_bytes:g} bytes{twice} = {per_token:,.0f} bytes a token{window}"


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a decoder. `shared_parameters` are used for every token; of `experts`, each of `expert_parameters` over all layers,
    `experts_per_token` are. `caches` is None where the kind of attention is not known. `weight_bits`: of the checkpoint."""

    layers: int
    hidden: int
    query_width: int  # numbers of all query heads together
    shared_parameters: float
    expert_parameters: float
    experts: int
    experts_per_token: int
    caches: tuple[Cache, ...] | None
    weight_bits: int

    @property
    def parameters(self) -> float:
        """All parameters."""
        return self.shared_parameters + self.experts * self.expert_parameters

    @property
    def active_parameters(self) -> float:
        """Parameters that one token is multiplied with."""
        return self.shared_parameters + self.experts_per_token * self.expert_parameters

    def parameters_read(self, tokens: int) -> float:
        """Parameters that a step with `tokens` tokens reads: experts are picked evenly and independently."""
        if not self.experts:
            return self.shared_parameters
        picked = 1 - (1 - self.experts_per_token / self.experts) ** tokens
        return self.shared_parameters + picked * self.experts * self.expert_parameters

    def of_request(self, tokens: int, value_bytes: float, gpus: int) -> float | None:
        """Bytes that a request of `tokens` tokens keeps on all GPUs; None: not known."""
        return None if self.caches is None else sum(one.of_request(tokens, value_bytes, gpus) for one in self.caches)


def embeds(name: str, config: Mapping[str, Any] | None = None) -> bool:
    """Whether a model by its name, or by the architectures of its config, makes embeddings or scores and generates no tokens."""
    written = tuple((config or {}).get("architectures") or ())
    if written and not any(kind.endswith(GENERATES) for kind in written):
        return True
    return any(part in name.rpartition("/")[2].lower() for part in EMBEDDING)


def read(config: Mapping[str, Any]) -> Architecture:
    """Read a config.json as parsed. Raises ValueError that names the field that is missing, or layers unlike all known."""
    text = config.get("text_config") or config
    if strange := next((key for key in UNLIKE if text.get(key)), None):
        raise ValueError(f"{strange}: layers of such a model are not known")
    hidden, layers = _number(text, "hidden_size", "n_embd"), _number(text, "num_hidden_layers", "n_layer")
    heads = _number(text, "num_attention_heads", "n_head")
    kv_heads = int(text.get("num_key_value_heads") or heads)
    head_dim = int(text.get("head_dim") or hidden // heads)
    experts = int(text.get("n_routed_experts") or text.get("num_local_experts") or text.get("num_experts") or 0)
    width = heads * head_dim
    if text.get("kv_lora_rank"):
        attention = layers * _latent_attention(text, hidden, heads)
    else:
        queries = width * (2 if text.get("attn_output_gate") else 1)
        full = hidden * (queries + width + KEY_AND_VALUE * kv_heads * head_dim)
        linear = list(text.get("layer_types") or ()).count("linear_attention")
        attention = (layers - linear) * full + (linear * _linear_attention(text, hidden) if linear else 0)
    expert, dense = _feed_forward(text, hidden, layers, experts)
    embedding = _number(text, "vocab_size") * hidden * (1 if _tied(config, text) else 2)
    return Architecture(
        layers=layers,
        hidden=hidden,
        query_width=width,
        shared_parameters=float(embedding + attention + dense),
        expert_parameters=float(expert),
        experts=experts,
        experts_per_token=int(text.get("num_experts_per_tok") or text.get("top_k_experts") or 0) if experts else 0,
        caches=None if _unknown(text) else tuple(_caches(text, layers, kv_heads, head_dim)),
        weight_bits=bits(config),
    )


def bits(config: Mapping[str, Any]) -> int:
    """Bits of most weights of the checkpoint."""
    quantization = (
        config.get("quantization_config") or (config.get("text_config") or {}).get("quantization_config") or {}
    )
    method = f"{quantization.get('quant_method', '')} {quantization.get('quant_algo', '')}".lower()
    text = config.get("text_config") or config
    if "4" in str(text.get("expert_dtype", "")) or any(word in method for word in ("fp4", "awq", "gptq", "int4")):
        return 4
    return 8 if "fp8" in method or "int8" in method else 16


def _tied(config: Mapping[str, Any], text: Mapping[str, Any]) -> bool:
    return bool(config.get("tie_word_embeddings", text.get("tie_word_embeddings", False)))


def _latent_attention(text: Mapping[str, Any], hidden: int, heads: int) -> int:
    """Parameters of a layer of multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1)."""
    latent, rope = _number(text, "kv_lora_rank"), _number(text, "qk_rope_head_dim")
    nope, value = _number(text, "qk_nope_head_dim"), _number(text, "v_head_dim")
    query = int(text.get("q_lora_rank") or 0)
    asks = hidden * query + query * heads * (nope + rope) if query else hidden * heads * (nope + rope)
    return asks + hidden * (latent + rope) + latent * heads * (nope + value) + heads * value * hidden


def _linear_attention(text: Mapping[str, Any], hidden: int) -> int:
    """Parameters of a layer of gated delta rule attention: queries, keys, values, gate and output."""
    keys = _number(text, "linear_num_key_heads") * _number(text, "linear_key_head_dim")
    values = _number(text, "linear_num_value_heads") * _number(text, "linear_value_head_dim")
    return hidden * (2 * keys + 3 * values)


def _feed_forward(text: Mapping[str, Any], hidden: int, layers: int, experts: int) -> tuple[int, int]:
    """Parameters of one expert over all layers, and of what every token passes, gated (three matrices)."""
    inner = int(text.get("intermediate_size") or text.get("n_inner") or 4 * hidden)
    if not experts:
        return 0, 3 * hidden * inner * layers
    first = int(text.get("first_k_dense_replace") or 0)
    every = max(1, int(text.get("interleave_moe_layer_step") or 1))
    with_experts = (layers - first) // every
    of_expert = int(text.get("moe_intermediate_size") or inner)
    shared = int(text.get("n_shared_experts") or 0) * of_expert
    if text.get("intermediate_size_mlp"):  # Llama 4: one shared expert as wide as a routed one, dense layers wider
        shared, inner = of_expert, int(text["intermediate_size_mlp"])
    if text.get("enable_moe_block"):  # Gemma 4: a dense block beside the experts
        shared += inner
    dense = 3 * hidden * (inner * (layers - with_experts) + shared * with_experts)
    return 3 * hidden * of_expert * with_experts, dense + hidden * experts * with_experts


def _unknown(text: Mapping[str, Any]) -> bool:
    known = {"full_attention", "sliding_attention", "chunked_attention", "linear_attention"}
    return "compress_ratios" in text or not known.issuperset(text.get("layer_types") or ())


def _caches(text: Mapping[str, Any], layers: int, kv_heads: int, head_dim: int) -> Iterator[Cache]:
    if text.get("kv_lora_rank"):
        latent = _number(text, "kv_lora_rank") + _number(text, "qk_rope_head_dim")
        yield Cache("latent of K and V", layers, latent, 1)
        return
    kinds = list(text.get("layer_types") or ["full_attention"] * layers)
    linear = kinds.count("linear_attention")
    near = sum(kind in ("sliding_attention", "chunked_attention") for kind in kinds)
    window = int(text.get("sliding_window") or text.get("attention_chunk_size") or 0)
    if near and window:
        numbers = KEY_AND_VALUE * kv_heads * head_dim
        yield Cache("K and V in a window", near, numbers, kv_heads, window)
    all_heads = int(text.get("num_global_key_value_heads") or kv_heads)
    all_dim = int(text.get("global_head_dim") or head_dim)
    if full := len(kinds) - linear - (near if window else 0):
        yield Cache("K and V", full, KEY_AND_VALUE * all_heads * all_dim, all_heads)
    if linear:
        yield Cache("state of linear attention", linear, 0, 1, state=_linear_state(text))


def _linear_state(text: Mapping[str, Any]) -> int:
    """Bytes of a layer's state of gated delta rule attention: one matrix a value head, and the inputs of the convolution."""
    key_heads, value_heads = _number(text, "linear_num_key_heads"), _number(text, "linear_num_value_heads")
    key_dim, value_dim = _number(text, "linear_key_head_dim"), _number(text, "linear_value_head_dim")
    channels = 2 * key_heads * key_dim + value_heads * value_dim
    convolution = channels * (_number(text, "linear_conv_kernel_dim") - 1) * 2
    return value_heads * key_dim * value_dim * STATE_BYTES + convolution


def _number(text: Mapping[str, Any], *names: str) -> int:
    for name in names:
        value = text.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    raise ValueError(f"{' or '.join(names)}: expected a whole number above 0 in the model's config.json")

"""Where a replica's GPU memory goes, step by step: weights, overhead, and how many requests the rest holds as KV cache."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from plimsoll.slo import strict_yaml

GIB = 2**30
GB = 1e9
TERA = 1e12
BITS_PER_BYTE = 8
KEY_AND_VALUE = 2


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU type: bytes of memory, and its peaks: bytes per second of memory, and dense operations per second by bits of a weight.
    `link_bytes_per_second`: from one GPU to the others of its node, one way. `system`: its name among measured operators (plimsoll.slo.capacity.planner.operators); None: it is not there."""

    memory_bytes: float
    bytes_per_second: float
    operations_per_second: dict[int, float]
    link_bytes_per_second: float
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """What the memory of a transformer with grouped-query attention depends on."""

    parameters: float
    layers: int
    kv_heads: int
    head_dim: int

    def weight_bytes(self, bits: float) -> float:
        """Return the bytes of the weights at `bits` bits each."""
        return self.parameters * bits / BITS_PER_BYTE

    def kv_bytes_per_token(self, value_bytes: int) -> int:
        """Bytes that one token takes in the KV cache, `value_bytes` to each number (1 for FP8, 2 for BF16)."""
        return KEY_AND_VALUE * self.layers * self.kv_heads * self.head_dim * value_bytes


@dataclass(frozen=True, slots=True)
class Deployment:
    """A replica: GPUs, the bytes of each that the engine may use, what weights and KV cache are stored as, and its overhead."""

    gpus: int
    gpu_bytes: float
    weight_bits: float
    kv_value_bytes: int
    overhead_bytes: float = 0.0  # activations, graphs and the like, of the whole replica


@dataclass(frozen=True, slots=True)
class Fit:
    """What is left for the KV cache (bytes; below 0: the weights do not fit; None: not known), the tokens and whole requests that it
    holds."""

    kv_bytes: float | None
    tokens: int
    requests: int
    steps: tuple[str, ...]


def fit(model: Model, deployment: Deployment, context: int, shared: int = 0) -> Fit:
    """Work out how many requests of `context` tokens each fit at once, showing each step; `shared` of these are the same for all
    and held once. Raises ValueError for no context, or none of a request's own."""
    if context < 1:
        raise ValueError(f"context {context}: a request has at least one token")
    if not 0 <= shared < context:
        raise ValueError(f"shared {shared}: at least one of {context} tokens is a request's own")
    total = deployment.gpus * deployment.gpu_bytes
    weights, per_token = model.weight_bytes(deployment.weight_bits), model.kv_bytes_per_token(deployment.kv_value_bytes)
    left = total - weights - deployment.overhead_bytes
    tokens = max(0, int(left // per_token))
    requests = max(0, tokens - shared) // (context - shared)
    once = (f"shared: {shared:,} of these tokens are the same for all, and held once",) if shared else ()
    steps = (
        f"memory: {deployment.gpus} x {_gib(deployment.gpu_bytes)} = {_gib(total)}",
        f"weights: {model.parameters:,.0f} x {deployment.weight_bits:g} bits = {_gib(weights)}",
        f"overhead: {_gib(deployment.overhead_bytes)}",
        f"KV cache: {_gib(left)}"
        if left > 0
        else f"KV cache: none, {_gib(-left)} are missing for weights and overhead",
        f"a token: {KEY_AND_VALUE} (K and V) x {model.layers} layers x {model.kv_heads} KV heads x {model.head_dim} numbers "
        f"x {deployment.kv_value_bytes} bytes = {per_token:,} bytes",
        f"a request of {context:,} tokens: {_gib(context * per_token)}",
        *once,
        f"concurrent requests: {requests:,} ({tokens:,} tokens)",
    )
    return Fit(left, tokens, requests, steps)


def load(name: str) -> Model:
    """Return a model's shape; raises ValueError that lists the known names."""
    return Model(**_data("models", name))


def shape_of(model: str) -> str | None:
    """Return the name of a model's shape by the model's own, such as meta-llama/Llama-3.3-70B-Instruct; None: not on record."""
    own = model.rpartition("/")[2].lower()
    return next((name for name in _entries("models") if own.startswith(name)), None)


def load_gpu(name: str) -> Gpu:
    """Return a GPU type; raises ValueError that lists the known names."""
    found = _data("gpus", name)
    operations = {bits: tera * TERA for bits, tera in found["tflops"].items()}
    return Gpu(
        found["memory_gb"] * GB, found["gb_per_s"] * GB, operations, found["link_gb_per_s"] * GB, found.get("system")
    )


def gpus() -> tuple[str, ...]:
    """List the GPU types on record, such as `H100-80GB`."""
    return tuple(_entries("gpus"))


def _data(kind: str, name: str) -> dict[str, Any]:
    entries = _entries(kind)
    if name not in entries:
        raise ValueError(f"{kind.removesuffix('s')} {name!r}: is not on record; known are {', '.join(entries)}")
    found: dict[str, Any] = entries[name]
    return found


def _entries(kind: str) -> dict[str, Any]:
    entries: dict[str, Any] = strict_yaml.load(
        (files("plimsoll.slo") / "data" / f"{kind}.yaml").read_text(encoding="utf-8")
    )[kind]
    return entries


def _gib(size: float) -> str:
    return f"{size / GIB:,.2f} GiB"

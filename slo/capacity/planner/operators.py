"""Step times and memory from operators that were measured on GPUs: AIConfigurator's (PyPI aiconfigurator-core, Apache-2.0).

An extra, as it takes 114 MB: it is imported when it is asked. Only configurations that come with it, or a config.json at hand, are
used: nothing is downloaded. What it has no measurements of is `NoOperators`, with the reason.
"""

import importlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from plimsoll.slo.capacity.model import memory

PACKAGE = "aiconfigurator_core"
MISSING = "the extra `planner` is not installed: pip install 'plimsoll-slo[planner]' (Python 3.11 to 3.13)"
ENGINES = ("vllm", "sglang", "trtllm")
MODES = {16: ("bfloat16",), 8: ("fp8", "int8_wo"), 4: ("nvfp4", "int4_wo")}  # by bits of a weight, best first
FREE_SHARE = "of_free"  # TensorRT-LLM takes a share of the memory that the weights leave, the others one of all
LONGEST_REASON = 160


class NoOperators(ValueError):
    """There are no measured operators for a question; the text is the reason."""


class Ranks(NamedTuple):
    """Data-parallel ranks of a replica, and whether each of their GPUs has whole experts (expert parallelism), not a slice of all."""

    size: int = 1
    whole_experts: bool = False


ONE_RANK = Ranks()


@dataclass(frozen=True, slots=True)
class Deployed:
    """A model as it is deployed: its configuration (a name that comes with the package, or the text of a config.json), GPU as
    in gpus.yaml, their number in a rank, engine, bits of weights and KV cache (None: as the checkpoint has them), and its ranks."""

    config: str
    gpu: str
    gpus: int
    engine: str
    weight_bits: int | None
    kv_bits: int
    ranks: Ranks = ONE_RANK


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one GPU: all, weights, activations and the rest, KV cache; tokens that this holds, and bytes of the first."""

    gpu: float
    weights: float
    other: float
    kv_cache: float
    tokens: int
    bytes_per_token: float


@lru_cache(maxsize=1)
def configurations() -> Mapping[str, Mapping[str, Any]]:
    """Return the configurations that come with the package by name. Raises NoOperators where it is not installed."""
    _package()
    found = {}
    for one in (files(PACKAGE) / "model_configs").iterdir():
        name, is_config, _ = one.name.rpartition("_config.json")
        if is_config and not name.endswith("_hf_quant"):
            found[name.replace("--", "/")] = json.loads(one.read_text(encoding="utf-8"))
    return found


def source() -> str:
    """Name of the package with its version, for a result's calculation."""
    return f"AIConfigurator {version('aiconfigurator-core')}"


@lru_cache(maxsize=64)
def engine(deployed: Deployed) -> Any:
    """Return the package's handle, which has the times of steps. Raises NoOperators."""
    return _asked(deployed, lambda core, config, options: core.EngineHandle.compile(config, *options[0], **options[1]))


@lru_cache(maxsize=64)
def room(deployed: Deployed, utilization: float, batched_tokens: int, max_num_seqs: int) -> Memory:
    """Return the memory of a GPU of the replica. Raises NoOperators, also where the weights do not fit."""

    def ask(core: Any, config: str, options: tuple[tuple[str, str], dict[str, Any]]) -> Any:
        kind = FREE_SHARE if deployed.engine == "trtllm" else "of_total"
        return core.estimate_kv_cache(
            config,
            *options[0],
            **options[1],
            max_num_tokens=batched_tokens,
            max_batch_size=max_num_seqs,
            memory_fraction_kind=kind,
            memory_fraction_value=utilization,
        )

    found = _asked(deployed, ask)
    parts = {name: float(size) for name, size in (found["memory_breakdown"] or {}).items()}
    weights = parts.pop("weights_bytes", 0.0)
    return Memory(
        float(found["total_gpu_capacity_bytes"]),
        weights,
        sum(parts.values()),
        float(found["total_kv_size_bytes"]),
        int(found["total_kv_size_tokens"]),
        float(found["kv_size_per_token_bytes"]),
    )


def step(deployed: Deployed, prompt: int, output: int) -> Any:
    """Return a function of a step's prompt tokens, sequences and their mean length, in milliseconds, for such requests. Raises
    NoOperators."""
    handle = engine(deployed)

    def took(tokens: int, sequences: int, length: int) -> float:
        try:
            inputs = (length, 2) if not tokens else (prompt, output)
            return float(handle.mixed_step_latency(tokens, sequences, *inputs))
        except Exception as error:
            raise NoOperators(_reason(error)) from error

    return took


def has_experts(config: str) -> bool:
    """Whether a configuration (a name that comes with the package, or the text of a config.json) has experts. Raises NoOperators."""
    found = json.loads(config) if config.lstrip().startswith("{") else configurations()[config]
    text = found.get("text_config") or found
    return any(text.get(name) for name in ("n_routed_experts", "num_local_experts", "num_experts"))


def _package() -> Any:
    try:
        # Its warnings are about tables that this question may not even use.
        logging.getLogger(PACKAGE).setLevel(logging.ERROR)
        return importlib.import_module(f"{PACKAGE}.sdk")
    except ImportError as error:
        raise NoOperators(MISSING) from error


def _asked(deployed: Deployed, ask: Any) -> Any:
    core = _package()
    system = memory.load_gpu(deployed.gpu).system
    if system is None:
        raise NoOperators(f"it has no measurements of {deployed.gpu}")
    reasons: list[str] = []
    with TemporaryDirectory() as folder:
        config = deployed.config
        if config not in configurations():
            (Path(folder) / "config.json").write_text(config, encoding="utf-8")
            config = folder
        for options in _options(deployed, config):
            try:
                return ask(core, config, ((system, deployed.engine), options))
            except Exception as error:  # of many kinds: each is a reason, and loses nothing else
                reasons.append(_reason(error))
    raise NoOperators(reasons[0])


def _options(deployed: Deployed, config: str) -> list[dict[str, Any]]:
    """Return the ways to ask, the most usual first: experts dealt out whole or in slices, weights computed in their precision or not."""
    experts, ranks = has_experts(deployed.config), deployed.ranks
    dealt: list[dict[str, Any]] = [{}]
    if experts:
        gpus, dp = deployed.gpus * ranks.size, {"attention_dp_size": ranks.size}
        sliced, whole = {"moe_tp_size": gpus, "moe_ep_size": 1, **dp}, {"moe_tp_size": 1, "moe_ep_size": gpus, **dp}
        dealt = [whole] if ranks.whole_experts else [sliced, whole] if ranks.size == 1 else [sliced]
    modes: tuple[str | None, ...] = (None,) if deployed.weight_bits is None else MODES[deployed.weight_bits]
    common = {
        "backend_version": "current",
        "tp_size": deployed.gpus,
        "kvcache_quant_mode": {8: "fp8", 16: "bfloat16"}[deployed.kv_bits],
        **({"fmha_quant_mode": "fp8"} if deployed.kv_bits == 8 and deployed.engine == "trtllm" else {}),
    }
    return [
        common
        | sharding
        | ({} if mode is None else {"gemm_quant_mode": mode} | ({"moe_quant_mode": mode} if experts else {}))
        for mode in modes
        for sharding in dealt
    ]


def _reason(error: Exception) -> str:
    """Return the first sentence of an error, without paths of its files."""
    text = re.split(r" at /| \(/|: */| \{|\n", " ".join(str(error).split()))[0]
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON].rsplit(' ', 1)[0]} ..."

"""Publishes the settings that vLLM runs with, defaults resolved, on its own metrics endpoint: no version's page has those of its scheduler."""

from functools import cache
from typing import Any

from prometheus_client import Gauge

from plimsoll.slo.metrics import ENGINE_SETTING

_HALVED = ("fp8", "int8")


def publish(vllm_config: Any, model: str, rank: str) -> None:
    """Set the gauges of a rank; raises AttributeError where this vLLM names its settings otherwise."""
    scheduler = vllm_config.scheduler_config
    settings = {
        "max_num_seqs": scheduler.max_num_seqs,
        "max_num_batched_tokens": scheduler.max_num_batched_tokens,
        "kv_cache_bits": _bits(vllm_config),
    }
    for setting, value in settings.items():
        if value:
            _gauge().labels(model, rank, setting).set(value)


def _bits(vllm_config: Any) -> int:
    """Return the bits of a value in the KV cache; 0 for a type of several sizes."""
    named = str(vllm_config.cache_config.cache_dtype)
    if named.startswith(_HALVED):
        return 8
    return 8 * int(vllm_config.model_config.dtype.itemsize) if named in ("auto", "bfloat16", "float16") else 0


@cache
def _gauge() -> Gauge:
    """Return the gauge, one per process on the default registry; several API servers of one engine have the same values."""
    labels = ("model_name", "engine", "setting")
    return Gauge(ENGINE_SETTING.name, ENGINE_SETTING.help, labels, multiprocess_mode="max")

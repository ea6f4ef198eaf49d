"""Metrics of an engine's parts: what its requests wait for, KV cache transfers and tiers, adapters, sleep, estimated work.

Absent where an engine has no source.
"""

from plimsoll.slo.metrics.engine import RANK, REPLICA
from plimsoll.slo.metrics.metric import Metric

WAITING_BY_REASON = Metric(
    "llm_requests_waiting_by_reason",
    "gauge",
    (*RANK, "reason"),
    "Requests that wait, by reason: capacity, deferred (for KV cache blocks, an adapter, or a grammar), paused.",
    "sum",
)
KV_TRANSFER_REQUESTS = Metric(
    "llm_kv_transfer_requests",
    "gauge",
    (*RANK, "stage"),
    "Requests whose KV cache is transferred between engines, by stage (to_start, in_progress, arrived).",
    "sum",
)
KV_TRANSFER_TIME = Metric(
    "llm_kv_transfer_seconds", "histogram", RANK, "Time of one request's KV cache transfer between engines."
)
KV_TRANSFER_BYTES = Metric(
    "llm_kv_transferred_bytes_total", "counter", RANK, "Bytes of KV cache transferred between engines."
)
KV_TRANSFER_FAILURES = Metric(
    "llm_kv_transfer_failures_total",
    "counter",
    (*RANK, "reason"),
    "KV cache transfers that failed, by reason: transport, bootstrap, expired (no engine fetched the blocks in time), late (a fetch was reported after that: answers may be wrong).",
)
REPLICA_AWAKE = Metric(
    "llm_replica_awake",
    "gauge",
    REPLICA,
    "Whether the engine is awake (1) or sleeps (0). Asleep it serves nothing.",
    "max",
)
ENGINE_SETTING = Metric(
    "llm_engine_setting",
    "gauge",
    (*RANK, "setting"),
    "A setting that the engine runs with, from Plimsoll's plugin or the command line: max_num_seqs (requests of a batch), max_num_batched_tokens (tokens of a step), kv_cache_bits (bits of a KV cache value). Absent where it isn't known.",
    "max",
)
CORRUPTED = Metric(
    "llm_requests_corrupted_total",
    "counter",
    RANK,
    "Requests whose logits had NaN values. Only where the engine checks.",
)
PROMPT_TOKENS_BY_SOURCE = Metric(
    "llm_prompt_tokens_by_source_total",
    "counter",
    (*RANK, "source"),
    "Prompt tokens, by source of their KV cache (computed, cached, transferred).",
)
CACHED_TOKENS = Metric(
    "llm_cached_tokens_total",
    "counter",
    (*RANK, "tier"),
    "Prompt tokens found in a cache, by tier (device, host, disk, peer, other).",
)
KV_TIER_USAGE = Metric(
    "llm_kv_tier_usage_ratio", "gauge", (*RANK, "tier"), "Fraction of a KV cache tier in use, 0 to 1.", "max"
)
KV_TIER_FAILURES = Metric(
    "llm_kv_tier_failures_total", "counter", RANK, "Failed stores and loads of KV cache tiers beside the GPU's memory."
)
ESTIMATED_FLOPS = Metric(
    "llm_estimated_flops_total",
    "counter",
    RANK,
    "Floating-point operations per GPU, by the engine's estimate. 0 unless the engine estimates them.",
)
ESTIMATED_MEMORY_BYTES = Metric(
    "llm_estimated_memory_bytes_total",
    "counter",
    (*RANK, "direction"),
    "Bytes read from and written to a GPU's memory, by the engine's estimate and direction (read, write).",
)
ADAPTER_SLOTS = Metric(
    "llm_adapter_slots", "gauge", (*RANK, "state"), "Slots for LoRA adapters, by state (used, total).", "max"
)

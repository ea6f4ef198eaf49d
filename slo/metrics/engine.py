"""Engines, replicas and what their clients see."""

from plimsoll.slo.metrics.metric import Metric

REPLICA = ("replica", "model", "engine")
RANK = (*REPLICA, "rank")

# Engine, one replica at a time ------------------------------------------------------------------------------
REPLICA_UP = Metric(
    "llm_replica_up", "gauge", ("replica",), "1 if the metrics page of the replica (or gateway) was read, else 0."
)
REPLICA_INFO = Metric(
    "llm_replica_info",
    "gauge",
    (*REPLICA, "version", "simulated"),
    "What a replica serves, always 1. simulated is 'true' for Plimsoll's demo fleet, whose numbers come from a model.",
)
REPLICA_START = Metric(
    "llm_replica_start_time_seconds",
    "gauge",
    REPLICA,
    "Unix time at which the engine's server process started; a step means its counters began again.",
)
SIMULATED = Metric(
    "plimsoll_simulated", "gauge", (), "On a replica's own page: 1 if its numbers come from a model (the demo fleet)."
)
REQUESTS_RUNNING = Metric("llm_requests_running", "gauge", RANK, "Requests in the running batch.")
REQUESTS_WAITING = Metric(
    "llm_requests_waiting", "gauge", RANK, "Requests admitted by the server and not yet scheduled."
)
KV_CACHE_USAGE = Metric("llm_kv_cache_usage_ratio", "gauge", RANK, "Share of the KV-cache blocks in use, 0 to 1.")
KV_CACHE_CAPACITY = Metric("llm_kv_cache_capacity_tokens", "gauge", RANK, "Tokens that the KV cache can hold.")
PREFIX_QUERIED = Metric(
    "llm_prefix_cache_queried_tokens_total", "counter", RANK, "Prompt tokens looked up in the prefix cache."
)
PREFIX_HIT = Metric("llm_prefix_cache_hit_tokens_total", "counter", RANK, "Prompt tokens found in the prefix cache.")
EXTERNAL_PREFIX_QUERIED = Metric(
    "llm_external_prefix_cache_queried_tokens_total",
    "counter",
    RANK,
    "Prompt tokens, not in the GPU's prefix cache, that were looked up in the tier behind it (host memory, disk, other nodes).",
)
EXTERNAL_PREFIX_HIT = Metric(
    "llm_external_prefix_cache_hit_tokens_total", "counter", RANK, "Prompt tokens found in the tier behind."
)
DRAFTS = Metric(
    "llm_speculative_drafts_total", "counter", RANK, "Steps of a sequence in which speculative decoding made a draft."
)
DRAFTED = Metric("llm_speculative_draft_tokens_total", "counter", RANK, "Tokens that speculative decoding proposed.")
DRAFTED_ACCEPTED = Metric(
    "llm_speculative_accepted_tokens_total", "counter", RANK, "Proposed tokens that the model accepted."
)
PREEMPTIONS = Metric("llm_preemptions_total", "counter", RANK, "Requests pushed out of the batch to be computed again.")
PROMPT_TOKENS = Metric("llm_prompt_tokens_total", "counter", RANK, "Prompt tokens processed.")
GENERATION_TOKENS = Metric("llm_generation_tokens_total", "counter", RANK, "Tokens generated.")
FINISHED = Metric(
    "llm_requests_finished_total",
    "counter",
    (*RANK, "reason"),
    "Requests that the engine finished, by reason: stop, length, abort, error, repetition.",
)
REJECTED = Metric(
    "llm_requests_rejected_total",
    "counter",
    (*REPLICA, "reason"),
    "Requests refused before they reached the scheduler, by reason (the HTTP status class or the engine's own word).",
)
ABANDONED = Metric(
    "llm_requests_abandoned_total",
    "counter",
    (*REPLICA, "stage"),
    "Requests whose client left, by stage (queued, streaming): derived, a lower bound that is exact once nothing is in flight.",
)
TTFT = Metric("llm_time_to_first_token_seconds", "histogram", RANK, "Arrival to first token, of requests that got one.")
ITL = Metric("llm_inter_token_latency_seconds", "histogram", RANK, "Gap between two tokens of a request.")
TPOT = Metric(
    "llm_time_per_output_token_seconds",
    "histogram",
    RANK,
    "A finished request's mean time per output token after the first (engines record 0 for single-token requests).",
)
DURATION = Metric("llm_request_duration_seconds", "histogram", RANK, "Arrival to last token, of finished requests.")
QUEUE = Metric("llm_request_queue_seconds", "histogram", RANK, "Arrival to first scheduling, of finished requests.")
PREFILL = Metric(
    "llm_request_prefill_seconds", "histogram", RANK, "First scheduling to first token, of finished requests."
)
DECODE = Metric("llm_request_decode_seconds", "histogram", RANK, "First to last token, of finished requests.")
PROMPT_LENGTH = Metric("llm_request_prompt_tokens", "histogram", RANK, "Prompt tokens of a finished request.")
GENERATION_LENGTH = Metric(
    "llm_request_generation_tokens", "histogram", RANK, "Generated tokens of a finished request."
)
OBJECTIVE_REQUESTS = Metric(
    "llm_objective_requests_total",
    "counter",
    (*RANK, "objective", "outcome"),
    "Requests evaluated one by one against an objective inside the engine, by outcome: good, bad.",
)

ADAPTER_REQUESTS = Metric(
    "llm_adapter_requests_total",
    "counter",
    (*RANK, "adapter", "deployment", "objective", "outcome"),
    "The same requests by LoRA adapter (none; other beyond a bounded number) and deployment, where either is in use.",
)

# What clients see: a probe's requests, and those that pass a gateway ------------------------------------------
PROBE = ("target", "model")
PROBE_SUCCESS = Metric(
    "llm_probe_success", "gauge", PROBE, "1 if the last probe got a whole streamed answer in time, else 0."
)
PROBE_REQUESTS = Metric(
    "llm_probe_requests_total",
    "counter",
    (*PROBE, "outcome"),
    "Probes sent since this exporter started, by outcome: ok, or what went wrong (connect, status, stream, timeout).",
)
PROBE_TTFT = Metric(
    "llm_probe_time_to_first_token_seconds", "gauge", PROBE, "The last probe: sent to first token; absent without one."
)
PROBE_ITL = Metric(
    "llm_probe_inter_token_latency_seconds", "gauge", PROBE, "The last probe: longest gap between two tokens."
)
PROBE_TPOT = Metric(
    "llm_probe_time_per_output_token_seconds", "gauge", PROBE, "The last probe: mean time per token after the first."
)
PROBE_DURATION = Metric(
    "llm_probe_duration_seconds", "gauge", PROBE, "The last probe: sent to the end of the answer, or to its failure."
)
PROBE_AGE = Metric("llm_probe_age_seconds", "gauge", PROBE, "Seconds since the last probe ended.")
PROBE_TOKENS = Metric(
    "llm_probe_tokens_total", "counter", PROBE, "Tokens that probes have generated: what probing costs."
)
GATEWAY = ("gateway", "model", "tenant")
GATEWAY_REQUESTS = Metric("llm_gateway_requests_total", "counter", GATEWAY, "Requests that ended at the gateway.")
GATEWAY_FAILURES = Metric(
    "llm_gateway_failures_total",
    "counter",
    (*GATEWAY, "reason"),
    "Requests that ended badly, by reason: the HTTP status (4xx, 5xx, or one), left (the client), broken (the stream).",
)
GATEWAY_PROMPT_TOKENS = Metric(
    "llm_gateway_prompt_tokens_total", "counter", GATEWAY, "Prompt tokens of requests that ended, where told."
)
GATEWAY_GENERATION_TOKENS = Metric(
    "llm_gateway_generation_tokens_total",
    "counter",
    GATEWAY,
    "Tokens generated, by the answer's usage or else by its chunks.",
)
GATEWAY_TTFT = Metric(
    "llm_gateway_time_to_first_token_seconds",
    "histogram",
    GATEWAY,
    "Arrival at the gateway to first token, of streams.",
)
GATEWAY_TPOT = Metric(
    "llm_gateway_time_per_output_token_seconds",
    "histogram",
    GATEWAY,
    "Mean time per token after the first, of streams.",
)
GATEWAY_DURATION = Metric(
    "llm_gateway_request_duration_seconds", "histogram", GATEWAY, "Arrival at the gateway to the end of the answer."
)

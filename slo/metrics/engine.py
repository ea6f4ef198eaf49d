"""Metrics of replicas, their engines, probes and gateways."""

from plimsoll.slo.metrics.metric import Metric

REPLICA = ("replica", "model", "engine")
RANK = (*REPLICA, "rank")

REPLICA_UP = Metric(
    "llm_replica_up",
    "gauge",
    ("replica",),
    "Whether the last scrape of the replica's (or gateway's) metrics endpoint succeeded (1) or failed (0).",
)
REPLICA_INFO = Metric(
    "llm_replica_info",
    "gauge",
    (*REPLICA, "version", "simulated", "role"),
    "Model and version that a replica serves, constant 1. Label simulated is 'true' for the demo fleet; role is prefill or decode where its page, its command line or its operator names it.",
)
REPLICA_START = Metric(
    "llm_replica_start_time_seconds",
    "gauge",
    REPLICA,
    "Unix time since which the replica's counters count: the start of its server process, or else the scrape at which they were first seen to have restarted. 0 if unknown. A later time means that they restarted, 0 never does.",
)
REPLICA_DOWN_REASON = Metric(
    "llm_replica_down_info",
    "gauge",
    ("replica", "reason"),
    "Why llm_replica_up is 0, constant 1: unreachable (no connection), timeout (no complete response in time), status (an HTTP error), unauthorized (it requires a token), page (a response that isn't a supported metrics endpoint's).",
)
# Seconds by which start times of one process may differ by a rounding; those of two processes differ by more.
SAME_START = 1.0
# Seconds by which the clocks of an engine's host and of the reader of its start may differ.
CLOCK_SKEW = 60.0
SIMULATED = Metric(
    "plimsoll_simulated",
    "gauge",
    (),
    "Whether the replica's metrics are simulated (1), as in the demo fleet. Exposed by the replica itself.",
)
REQUESTS_RUNNING = Metric("llm_requests_running", "gauge", RANK, "Requests in the running batch.", "sum")
REQUESTS_WAITING = Metric(
    "llm_requests_waiting", "gauge", RANK, "Requests accepted by the server and not yet scheduled.", "sum"
)
KV_CACHE_USAGE = Metric(
    "llm_kv_cache_usage_ratio", "gauge", RANK, "Fraction of the KV cache blocks in use, 0 to 1.", "max"
)
KV_CACHE_CAPACITY = Metric("llm_kv_cache_capacity_tokens", "gauge", RANK, "Tokens that fit in the KV cache.")
PREFIX_QUERIED = Metric(
    "llm_prefix_cache_queried_tokens_total", "counter", RANK, "Prompt tokens looked up in the prefix cache."
)
PREFIX_HIT = Metric("llm_prefix_cache_hit_tokens_total", "counter", RANK, "Prompt tokens found in the prefix cache.")
EXTERNAL_PREFIX_QUERIED = Metric(
    "llm_external_prefix_cache_queried_tokens_total",
    "counter",
    RANK,
    "Prompt tokens missing from the GPU's prefix cache and looked up in the external tier (host memory, disk, other nodes).",
)
EXTERNAL_PREFIX_HIT = Metric(
    "llm_external_prefix_cache_hit_tokens_total",
    "counter",
    RANK,
    "Prompt tokens found in the external prefix cache tier.",
)
DRAFTS = Metric(
    "llm_speculative_drafts_total", "counter", RANK, "Drafts made by speculative decoding, one per sequence and step."
)
DRAFTED = Metric("llm_speculative_draft_tokens_total", "counter", RANK, "Tokens proposed by speculative decoding.")
DRAFTED_ACCEPTED = Metric(
    "llm_speculative_accepted_tokens_total", "counter", RANK, "Proposed tokens that the model accepted."
)
PREEMPTIONS = Metric("llm_preemptions_total", "counter", RANK, "Requests preempted and recomputed.")
PROMPT_TOKENS = Metric("llm_prompt_tokens_total", "counter", RANK, "Prompt tokens processed.")
GENERATION_TOKENS = Metric("llm_generation_tokens_total", "counter", RANK, "Tokens generated.")
PROGRESS_TOKENS = Metric(
    "llm_progress_tokens_total",
    "counter",
    RANK,
    "Prompt and generated tokens, counted while requests run. Absent for engines that count tokens only when a request finishes.",
)
FINISHED = Metric(
    "llm_requests_finished_total",
    "counter",
    (*RANK, "reason"),
    "Requests finished by the engine, by reason (stop, length, abort, error, repetition).",
)
REJECTED = Metric(
    "llm_requests_rejected_total",
    "counter",
    (*REPLICA, "reason"),
    "Requests rejected before scheduling, by reason (HTTP status class or the engine's own reason).",
)
ABANDONED = Metric(
    "llm_requests_abandoned_total",
    "counter",
    (*REPLICA, "stage"),
    "Requests whose client disconnected, by stage (queued, streaming). Derived: a lower bound while requests are in flight, exact otherwise.",
)
TTFT = Metric(
    "llm_time_to_first_token_seconds",
    "histogram",
    RANK,
    "Time from arrival to first token, for requests that received one.",
)
ITL = Metric("llm_inter_token_latency_seconds", "histogram", RANK, "Time between two consecutive tokens of a request.")
TPOT = Metric(
    "llm_time_per_output_token_seconds",
    "histogram",
    RANK,
    "Mean time per output token after the first, per finished request. Engines record 0 for single-token requests.",
)
DURATION = Metric(
    "llm_request_duration_seconds", "histogram", RANK, "Time from arrival to last token, per finished request."
)
QUEUE = Metric(
    "llm_request_queue_seconds", "histogram", RANK, "Time from arrival to first scheduling, per finished request."
)
PREFILL = Metric(
    "llm_request_prefill_seconds", "histogram", RANK, "Time from first scheduling to first token, per finished request."
)
DECODE = Metric("llm_request_decode_seconds", "histogram", RANK, "Time from first to last token, per finished request.")
PROMPT_LENGTH = Metric("llm_request_prompt_tokens", "histogram", RANK, "Prompt tokens per finished request.")
GENERATION_LENGTH = Metric("llm_request_generation_tokens", "histogram", RANK, "Generated tokens per finished request.")
OBJECTIVE_REQUESTS = Metric(
    "llm_objective_requests_total",
    "counter",
    (*RANK, "objective", "outcome"),
    "Requests evaluated against an SLO in the engine, by outcome (good, bad).",
)

ADAPTER_REQUESTS = Metric(
    "llm_adapter_requests_total",
    "counter",
    (*RANK, "adapter", "deployment", "objective", "outcome"),
    "Requests evaluated against an SLO in the engine, by LoRA adapter (none, or other beyond a limit) and deployment.",
)

# Requests as clients see them: a probe's, and those that pass through a gateway.
PROBE = ("target", "model")
PROBE_SUCCESS = Metric(
    "llm_probe_success",
    "gauge",
    PROBE,
    "Whether the last probe received a complete streamed response in time (1) or not (0).",
)
PROBE_REQUESTS = Metric(
    "llm_probe_requests_total",
    "counter",
    (*PROBE, "outcome"),
    "Probe requests sent since the exporter started, by outcome (ok, connect, status, stream, timeout).",
)
PROBE_TTFT = Metric(
    "llm_probe_time_to_first_token_seconds",
    "gauge",
    PROBE,
    "Time from sending the last probe to its first token. Absent if it received none.",
)
PROBE_ITL = Metric(
    "llm_probe_inter_token_latency_seconds",
    "gauge",
    PROBE,
    "Maximum time between two consecutive tokens of the last probe.",
)
PROBE_TPOT = Metric(
    "llm_probe_time_per_output_token_seconds", "gauge", PROBE, "Mean time per token after the first of the last probe."
)
PROBE_DURATION = Metric(
    "llm_probe_duration_seconds",
    "gauge",
    PROBE,
    "Time from sending the last probe to the end of its response, or to its failure.",
)
PROBE_AGE = Metric("llm_probe_age_seconds", "gauge", PROBE, "Time since the last probe ended.")
PROBE_TOKENS = Metric("llm_probe_tokens_total", "counter", PROBE, "Tokens generated for probes: the cost of probing.")
GATEWAY = ("gateway", "model", "tenant")
GATEWAY_REQUESTS = Metric(
    "llm_gateway_requests_total", "counter", GATEWAY, "Requests completed at the gateway, successfully or not."
)
GATEWAY_FAILURES = Metric(
    "llm_gateway_failures_total",
    "counter",
    (*GATEWAY, "reason"),
    "Requests failed at the gateway, by reason: HTTP status (4xx, 5xx, or a code), client_closed, stream_interrupted, or overloaded (rejected or expired in its queue).",
)
GATEWAY_PROMPT_TOKENS = Metric(
    "llm_gateway_prompt_tokens_total", "counter", GATEWAY, "Prompt tokens of completed requests, where reported."
)
GATEWAY_GENERATION_TOKENS = Metric(
    "llm_gateway_generation_tokens_total",
    "counter",
    GATEWAY,
    "Tokens generated, by the response's usage, or by its chunks where it reports none.",
)
GATEWAY_TTFT = Metric(
    "llm_gateway_time_to_first_token_seconds",
    "histogram",
    GATEWAY,
    "Time from arrival at the gateway to first token, for streamed responses.",
)
GATEWAY_TPOT = Metric(
    "llm_gateway_time_per_output_token_seconds",
    "histogram",
    GATEWAY,
    "Mean time per token after the first, for streamed responses.",
)
GATEWAY_DURATION = Metric(
    "llm_gateway_request_duration_seconds",
    "histogram",
    GATEWAY,
    "Time from arrival at the gateway to the end of the response.",
)
GATEWAY_QUEUED = Metric(
    "llm_gateway_requests_queued", "gauge", GATEWAY, "Requests that wait at the gateway for an engine.", "sum"
)
GATEWAY_QUEUE_TIME = Metric(
    "llm_gateway_queue_seconds", "histogram", GATEWAY, "Time that requests waited at the gateway for an engine."
)
GATEWAY_REJECTED = Metric(
    "llm_gateway_rejected_total",
    "counter",
    (*GATEWAY, "reason"),
    "Requests that the gateway sent to no engine, by reason (capacity, no_endpoint, timeout, left, policy).",
)
GATEWAY_RETRIES = Metric(
    "llm_gateway_retries_total", "counter", GATEWAY, "Requests that the gateway sent to an engine again."
)
GATEWAY_SATURATION = Metric(
    "llm_gateway_saturation_ratio",
    "gauge",
    (*GATEWAY, "stage"),
    "Load of the engines behind the gateway as a fraction of what it sends them, by stage (prefill, decode, effective).",
    "max",
)
GATEWAY_READY = Metric(
    "llm_gateway_endpoints_ready", "gauge", GATEWAY, "Engines that the gateway can send requests to.", "sum"
)

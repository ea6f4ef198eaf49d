"""The replica dashboard: workload, latency, scheduler, caches, outcomes and GPUs of one engine."""

from typing import Any

from plimsoll.dashboards import common, engine_panels, gpu_panels, no_data, panels, queries
from plimsoll.dashboards.panels import BLUE, GREY, ORANGE, SKY, VERMILLION, Query, Section
from plimsoll.slo import links, metrics
from plimsoll.slo.spec.objectives import Spec


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the replica dashboard."""
    return panels.dashboard(
        links.REPLICA,
        "Plimsoll / Replica",
        "One engine in detail. Choose a replica above; with All, quantiles cover the requests of all replicas.",
        variables=common.scope(spec, common.version_variable()),
        annotations=common.annotations(),
        links=common.LINKS,
        default_links=[common.TO_GPU],
        sections=[
            Section("", [(4, [*common.health_stats(), common.simulated_stat()])]),
            Section("Workload", [(8, _workload(spec))]),
            Section("Latency", [(8, engine_panels.latencies(spec)), (8, engine_panels.phases(spec))]),
            Section(
                "Scheduler and KV cache",
                [(9, [*engine_panels.scheduler(spec), _kv_cache_tokens()]), (9, engine_panels.memory())],
            ),
            Section("Prefix cache and speculative decoding", [(9, _cache_and_speculation())]),
            Section("KV cache transfers between engines", [(9, _transfers())]),
            Section("Request outcomes", [(9, [_reasons(), engine_panels.uptime()])]),
            Section("GPU health", [(9, gpu_panels.state()), (9, gpu_panels.load())]),
        ],
    )


def _workload(spec: Spec) -> list[Any]:
    return [
        engine_panels.quantiles(
            spec,
            "Input tokens per request",
            "A wide gap between p50 and p99: short requests wait behind long prefills.",
            metrics.PROMPT_LENGTH,
            unit="suffix: tok",
        ),
        engine_panels.quantiles(
            spec,
            "Output tokens per request",
            "Longer outputs raise the end-to-end latency and hold the KV cache longer, without a fault.",
            metrics.GENERATION_LENGTH,
            unit="suffix: tok",
        ),
        engine_panels.quantiles(
            spec,
            "Inter-token latency",
            "Every gap between two output tokens (ITL), not the mean per request. High p99 with a low p50: prefills of other "
            "requests interrupt decoding.",
            metrics.ITL,
        ),
    ]


def _cache_and_speculation() -> list[Any]:
    queried, hit, external_queried, external_hit = (
        queries.rate(metric, queries.REPLICA)
        for metric in (
            *(metrics.PREFIX_QUERIED, metrics.PREFIX_HIT),
            *(metrics.EXTERNAL_PREFIX_QUERIED, metrics.EXTERNAL_PREFIX_HIT),
        )
    )
    return [
        panels.graph(
            "Prefix cache hit ratio by tier",
            "Fraction of the input tokens looked up in a tier that were found. GPU: the engine's cache. External: host memory, "
            "disk, or other nodes, looked up for the rest. "
            f"Source: {metrics.PREFIX_HIT}, {metrics.PREFIX_QUERIED}, {metrics.EXTERNAL_PREFIX_HIT}, {metrics.EXTERNAL_PREFIX_QUERIED}.",
            [
                Query(queries.ratio(hit, queried), f"GPU {queries.REPLICA_NAME}"),
                Query(queries.ratio(external_hit, external_queried), f"external {queries.REPLICA_NAME}"),
            ],
            unit="percentunit",
            max=1,
            low=True,
            no_data=no_data.INPUT,
            many=True,
        ),
        *_speculation(),
    ]


def _speculation() -> list[Any]:
    drafts, drafted, accepted = (
        queries.rate(metric, queries.REPLICA) for metric in (metrics.DRAFTS, metrics.DRAFTED, metrics.DRAFTED_ACCEPTED)
    )
    return [
        panels.graph(
            "Draft acceptance ratio",
            "Accepted draft tokens as a fraction of draft tokens (speculative decoding). Low: drafts cost more time than they save. "
            f"Source: {metrics.DRAFTED_ACCEPTED}, {metrics.DRAFTED}.",
            [Query(queries.ratio(accepted, drafted), queries.REPLICA_NAME)],
            unit="percentunit",
            max=1,
            low=True,
            no_data=no_data.SPECULATION,
            many=True,
        ),
        panels.graph(
            "Accepted tokens per step",
            "Output tokens per sequence and step: one from the model, plus the accepted draft tokens. 1: no gain. "
            f"Source: {metrics.DRAFTED_ACCEPTED}, {metrics.DRAFTS}.",
            [Query(f"1 + {queries.ratio(accepted, drafts)}", queries.REPLICA_NAME)],
            unit="suffix: tok",
            no_data=no_data.SPECULATION,
            many=True,
        ),
    ]


def _transfers() -> list[Any]:
    """Return the panels of engines that split prefill and decode. Others have no such series."""
    return [
        panels.graph(
            "Waiting requests by reason",
            "Requests that wait, by what for. Deferred: for KV cache blocks of another engine, an adapter, or a grammar, which more "
            f"replicas don't help. Source: {metrics.WAITING_BY_REASON}.",
            [Query(queries.gauge(metrics.WAITING_BY_REASON, f"{queries.REPLICA}, reason"), "{{reason}} {{replica}}")],
            unit="suffix: req",
            no_data=no_data.ENGINE,
            many=True,
        ),
        panels.graph(
            "KV cache transfer time p95",
            "Time that the transfer of one request's KV cache from prefill to decode takes. It is a part of the time to first token. "
            f"Source: {metrics.KV_TRANSFER_TIME}.",
            [Query(queries.quantile(0.95, metrics.KV_TRANSFER_TIME, queries.REPLICA), queries.REPLICA_NAME)],
            unit="s",
            no_data=no_data.TRANSFERS,
            many=True,
        ),
        panels.graph(
            links.KV_TRANSFERS.title,
            "Failed transfers per second, by reason. Transport, bootstrap: the network or the other engine. Expired: decode is too slow "
            f"or down. Late: the blocks may have been reused. Source: {metrics.KV_TRANSFER_FAILURES}.",
            [Query(queries.rate(metrics.KV_TRANSFER_FAILURES, f"{queries.REPLICA}, reason"), "{{reason}} {{replica}}")],
            unit="suffix: /s",
            no_data=no_data.TRANSFERS,
            many=True,
        ),
    ]


def _kv_cache_tokens() -> Any:
    in_use = f"sum by ({queries.REPLICA}) ({queries.select(metrics.KV_CACHE_USAGE)} * {queries.select(metrics.KV_CACHE_CAPACITY)})"
    return panels.graph(
        "KV cache tokens",
        "Tokens in the KV cache, and its capacity, which the engine sets at start. "
        f"Source: {metrics.KV_CACHE_USAGE}, {metrics.KV_CACHE_CAPACITY}.",
        [
            Query(in_use, f"in use {queries.REPLICA_NAME}"),
            Query(queries.gauge(metrics.KV_CACHE_CAPACITY, queries.REPLICA), f"capacity {queries.REPLICA_NAME}"),
        ],
        unit="suffix: tok",
        no_data=no_data.ENGINE,
        many=True,
    )


def _reasons() -> Any:
    return panels.graph(
        "Finished requests by reason",
        "stop: end of output. length: token limit reached. abort: client disconnected. error, repetition: ended by the engine. "
        f"Source: {metrics.FINISHED}.",
        [Query(queries.rate(metrics.FINISHED, "reason"), "{{reason}}")],
        colors={"stop": SKY, "length": BLUE, "abort": GREY, "error": VERMILLION, "repetition": ORANGE},
        unit="reqps",
        no_data=no_data.ENGINE,
        many=True,
    )

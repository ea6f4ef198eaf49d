"""Panels about engines: request latency and phases, scheduler, KV cache."""

from typing import Any

from plimsoll.dashboards import common, drilldown, no_data, panels, queries
from plimsoll.dashboards.panels import BAD, BLUE, GOOD, ORANGE, SKY, VERMILLION, Query, Text
from plimsoll.slo import links, metrics
from plimsoll.slo.metrics import Metric, recorded
from plimsoll.slo.spec.objectives import Spec

QUANTILES = {"p50": (0.5, SKY), "p95": (0.95, ORANGE), "p99": (0.99, VERMILLION)}


def latencies(spec: Spec, of_pool: bool = False) -> list[Any]:
    """Return the latency panels: time to first token, time per output token, end-to-end latency. See `quantiles`."""
    return [
        quantiles(
            spec,
            links.TTFT.title,
            "From arrival to first token (TTFT). High with a short queue: long prompts. High with a long queue: too little "
            "capacity. A stalled engine adds no requests here: check the waiting requests.",
            metrics.TTFT,
            of_pool=of_pool,
            limits=common.latency_thresholds(spec, "time_to_first_token"),
        ),
        quantiles(
            spec,
            links.TPOT.title,
            "Mean time per token after the first, per request (TPOT). It rises before the time to first token does. Check for a "
            "full batch, preemptions, or a throttled GPU.",
            metrics.TPOT,
            of_pool=of_pool,
            limits=common.latency_thresholds(spec, "time_per_output_token"),
        ),
        quantiles(
            spec,
            links.E2E.title,
            "From arrival to last token (E2E), of finished requests. It depends on TTFT, TPOT and output length.",
            metrics.DURATION,
            of_pool=of_pool,
            limits=common.latency_thresholds(spec, "request_duration"),
        ),
    ]


def phases(spec: Spec, of_pool: bool = False) -> list[Any]:
    """Return the panels of the three phases of a request. See `quantiles`."""
    return [
        quantiles(
            spec,
            "Queue time",
            "From arrival to first scheduling. High: the pool is saturated. More nodes help.",
            metrics.QUEUE,
            of_pool=of_pool,
        ),
        quantiles(
            spec,
            "Prefill time",
            "From first scheduling to first token. High: long prompts, or a cold prefix cache after a restart.",
            metrics.PREFILL,
            of_pool=of_pool,
        ),
        quantiles(
            spec,
            "Decode time",
            "From first to last token. High: a large batch, preemptions, long outputs, or a throttled GPU.",
            metrics.DECODE,
            of_pool=of_pool,
        ),
    ]


def quantiles(spec: Spec, title: str, description: str, histogram: Metric, **look: Any) -> Any:
    """Return a panel with p50, p95 and p99 of a histogram, per model.

    `of_pool` reads what the rules recorded for all replicas of a model over two minutes; otherwise the chosen replicas count.
    """
    of_pool = look.pop("of_pool", False)
    whole = " Covers all replicas of the pool; the Replica dashboard shows one." if of_pool else ""
    dashed = " Dashed: the SLO's threshold." if "limits" in look else ""
    quantile = queries.recorded_quantile if of_pool else queries.quantile
    return panels.graph(
        title,
        f"{description}{whole}{dashed} Source: {histogram}.",
        [Query(quantile(q, histogram), f"{name}{common.model_suffix(spec)}") for name, (q, _) in QUANTILES.items()],
        unit=look.pop("unit", "s"),
        log=True,
        no_data=no_data.REQUESTS,
        query_colors=[color for _, color in QUANTILES.values()],
        links=[*([common.TO_POOL] if of_pool else []), *drilldown.traces(of_replica=not of_pool)],
        **look,
    )


def replicas_up() -> Any:
    """Return the panel of replicas that are up or down."""
    return panels.timeline(
        links.REPLICAS.title,
        f"Replicas over time. One that never reported its model is shown in every pool. Source: {metrics.REPLICA_UP}.",
        [Query(queries.replicas_up(), queries.REPLICA_NAME)],
        unit="none",
        no_data=no_data.EXPORTER,
        texts={1: Text("up", GOOD), 0: Text("down", BAD)},
        links=[common.TO_REPLICA],
    )


def by_replica(title: str, description: str, histogram: Metric, **look: Any) -> Any:
    """Return a panel with the recorded 95th percentile of each replica, highest first."""
    dashed = " Dashed: the SLO's threshold." if "limits" in look else ""
    return panels.graph(
        title,
        f"{description}{dashed} Source: {histogram}.",
        [Query(queries.recorded_p95(histogram), queries.REPLICA_NAME)],
        unit="s",
        log=True,
        no_data=no_data.REQUESTS,
        many=True,
        links=[common.TO_REPLICA, *drilldown.traces()],
        **look,
    )


def tokens_by_replica() -> Any:
    """Return the panel of output tokens of each replica."""
    return panels.graph(
        "Output tokens by replica",
        f"Output tokens per second. Unequal lines: unequal load, or a slower machine. Source: {metrics.GENERATION_TOKENS}.",
        [Query(queries.rate(metrics.GENERATION_TOKENS, queries.REPLICA), queries.REPLICA_NAME)],
        unit="suffix: tok/s",
        no_data=no_data.ENGINE,
        many=True,
        links=[common.TO_REPLICA],
    )


def versions(spec: Spec) -> Any:
    """Return the panel of versions that run."""
    return panels.graph(
        "Replicas by version",
        "Replicas per engine version. In a rollout one line rises while another falls; in a scale-in one line "
        f"falls alone. Source: {metrics.REPLICA_INFO}.",
        [
            Query(
                f"count by (model, version) ({queries.select(metrics.REPLICA_INFO)})",
                f"{{{{version}}}}{common.model_suffix(spec)}",
            )
        ],
        unit="short",
        decimals=0,
        no_data=no_data.ENGINE,
        many=True,
    )


def uptime() -> Any:
    """Return the panel of each engine's uptime."""
    return panels.graph(
        links.UPTIME.title,
        "Time since the engine's process started. A drop to zero is a restart: caches are cold and the model was reloaded. "
        f"Source: {metrics.REPLICA_START}.",
        [Query(f"time() - ({queries.select(metrics.REPLICA_START)} > 0)", queries.REPLICA_NAME)],
        unit="s",
        no_data=no_data.ENGINE,
        many=True,
        links=[common.TO_REPLICA],
        low=True,
    )


def scheduler(spec: Spec) -> list[Any]:
    """Return the panels of queue, batch and KV cache of each replica."""
    queue_limits = sorted({pool.max_waiting_per_node / pool.node.replicas for pool in spec.pools})
    kv_limits = sorted({float(pool.max_kv_cache_usage) for pool in spec.pools})
    return [
        panels.graph(
            links.QUEUE.title,
            "Requests that wait to be scheduled, by replica. Dashed: the pool's limit per replica, above which more nodes are "
            f"recommended. Source: {metrics.REQUESTS_WAITING}.",
            [Query(queries.gauge(metrics.REQUESTS_WAITING, queries.REPLICA), queries.REPLICA_NAME)],
            unit="short",
            no_data=no_data.ENGINE,
            limits=queue_limits,
            many=True,
            links=[common.TO_REPLICA],
        ),
        panels.graph(
            "Running requests",
            f"Requests in the batch, by replica. Flat at its maximum with a queue: saturated. Source: {metrics.REQUESTS_RUNNING}.",
            [Query(queries.gauge(metrics.REQUESTS_RUNNING, queries.REPLICA), queries.REPLICA_NAME)],
            unit="short",
            no_data=no_data.ENGINE,
            many=True,
            links=[common.TO_REPLICA],
        ),
        panels.graph(
            links.KV_CACHE.title,
            "Fraction of KV cache blocks in use, by replica (fullest rank). Dashed: the pool's limit. Above it for minutes, "
            f"requests start to queue or are preempted. Source: {metrics.KV_CACHE_USAGE}.",
            [Query(queries.gauge(metrics.KV_CACHE_USAGE, queries.REPLICA, "max"), queries.REPLICA_NAME)],
            unit="percentunit",
            max=1,
            no_data=no_data.ENGINE,
            limits=kv_limits,
            many=True,
            links=[common.TO_REPLICA],
        ),
    ]


def memory() -> list[Any]:
    """Return the panels of preemptions, tokens and prefix cache."""
    return [
        panels.graph(
            links.PREEMPTIONS.title,
            "Requests preempted and recomputed. Above zero: the KV cache is too small for the load. "
            f"Source: {metrics.PREEMPTIONS}.",
            [Query(queries.rate(metrics.PREEMPTIONS, queries.REPLICA), queries.REPLICA_NAME)],
            unit="suffix: /s",
            no_data=no_data.ENGINE,
            many=True,
            links=[common.TO_REPLICA],
        ),
        panels.graph(
            links.TOKENS.title,
            "Input and output tokens. Input rising while output falls: a burst of long prompts. "
            f"Source: {metrics.PROMPT_TOKENS}, {metrics.GENERATION_TOKENS}.",
            [
                Query(queries.rate(metrics.PROMPT_TOKENS), "input"),
                Query(queries.rate(metrics.GENERATION_TOKENS), "output"),
            ],
            unit="suffix: tok/s",
            no_data=no_data.ENGINE,
            colors={"input": BLUE, "output": SKY},
        ),
        panels.graph(
            links.PREFIX_CACHE.title,
            "Fraction of input tokens found in the prefix cache. Near zero after a restart: prefill is slow until it refills. "
            f"Source: {metrics.PREFIX_HIT}, {metrics.PREFIX_QUERIED}.",
            [Query(queries.of_replicas(recorded.PREFIX_HITS), queries.REPLICA_NAME)],
            unit="percentunit",
            max=1,
            low=True,
            no_data=no_data.INPUT,
            many=True,
            links=[common.TO_REPLICA],
        ),
    ]

"""The pool dashboard: a pool's replicas, versions, tenants and LoRA adapters side by side."""

from typing import Any

from plimsoll.dashboards import common, drilldown, engine_panels, no_data, panels, queries
from plimsoll.dashboards.panels import Query, Section
from plimsoll.dashboards.topology import roles
from plimsoll.slo import links, metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli import evidence
from plimsoll.slo.spec.objectives import Spec


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the pool's dashboard."""
    return panels.dashboard(
        links.POOL,
        "Plimsoll / Pool",
        "The replicas of a pool side by side, worst first; then its versions, tenants, and LoRA adapters.",
        variables=common.scope(spec, common.version_variable()),
        annotations=common.annotations(),
        links=common.LINKS,
        default_links=[drilldown.to_dashboard("Replica dashboard", links.REPLICA)],
        sections=[
            Section("", [(4, [*common.health_stats(), common.simulated_stat()])]),
            Section("Latency by replica", [(9, _latencies(spec))]),
            Section("Load balance", [(9, _load()), (9, engine_panels.scheduler(spec))]),
            Section("By role", [(9, roles.by_role())]),
            Section("By version", [(9, _versions(spec))]),
            Section("By tenant", [(9, _tenants())]),
            Section("By LoRA adapter", [(9, _adapters())]),
        ],
    )


def _latencies(spec: Spec) -> list[Any]:
    return [
        engine_panels.by_replica(
            f"{title} p95",
            description,
            histogram,
            limits=common.latency_thresholds(spec, latency),
        )
        for title, description, histogram, latency in (
            (
                "Time to first token",
                "One line far above the others: a long queue or a slow prefill on that replica. Check the waiting requests.",
                metrics.TTFT,
                "time_to_first_token",
            ),
            (
                "Time per output token",
                "One line far above the others under the same load: a throttled GPU, or another process on it.",
                metrics.TPOT,
                "time_per_output_token",
            ),
            (
                "End-to-end latency",
                "Longer outputs raise it without a fault. Compare it with the time per output token.",
                metrics.DURATION,
                "request_duration",
            ),
        )
    ]


def _load() -> list[Any]:
    running = f"sum by (model, {queries.REPLICA}) ({queries.select(metrics.REQUESTS_RUNNING)})"
    mean = f"(sum by (model) ({running}) / count by (model) ({running}))"
    return [
        engine_panels.replicas_up(),
        engine_panels.tokens_by_replica(),
        panels.graph(
            "Load imbalance (max ÷ mean)",
            "Running requests of the busiest replica divided by the mean of all replicas. 1 is even. High: the router sends "
            f"too many requests to one replica. Source: {metrics.REQUESTS_RUNNING}.",
            [Query(queries.ratio(f"max by (model) ({running})", mean), "{{model}}")],
            unit="suffix: ×",
            no_data=no_data.RUNNING,
            many=True,
        ),
    ]


def _versions(spec: Spec) -> list[Any]:
    finished = queries.rate_by_version(metrics.FINISHED)
    failed = queries.rate_by_version(metrics.FINISHED, reason=tuple(evidence.FAILED))
    return [
        engine_panels.versions(spec),
        _version(spec, "Time to first token p95 by version", metrics.TTFT, "time_to_first_token"),
        _version(spec, "Time per output token p95 by version", metrics.TPOT, "time_per_output_token"),
        panels.graph(
            "Failed requests by version",
            f"Finished requests that ended in an error, as a fraction of finished requests. Source: {metrics.FINISHED}.",
            [Query(queries.ratio(failed, finished), f"{{{{version}}}}{common.model_suffix(spec)}")],
            unit="percentunit",
            no_data=no_data.REQUESTS,
            many=True,
        ),
    ]


def _version(spec: Spec, title: str, histogram: Metric, latency: str) -> Any:
    return panels.graph(
        title,
        "95th percentile over all replicas of a version. Compare the two while a rollout runs. "
        f"Dashed: the SLO's threshold. Source: {histogram}.",
        [Query(queries.quantile_by_version(0.95, histogram), f"{{{{version}}}}{common.model_suffix(spec)}")],
        unit="s",
        log=True,
        no_data=no_data.REQUESTS,
        limits=common.latency_thresholds(spec, latency),
        many=True,
    )


def _tenants() -> list[Any]:
    requests, failures = (
        queries.rate(metric, "tenant") for metric in (metrics.GATEWAY_REQUESTS, metrics.GATEWAY_FAILURES)
    )
    prompt = queries.rate(metrics.GATEWAY_PROMPT_TOKENS, "tenant")
    return [
        _tenant(
            "Requests by tenant",
            "Requests per second. A line that rises alone: this tenant causes the surge.",
            metrics.GATEWAY_REQUESTS,
            requests,
            "reqps",
        ),
        _tenant(
            "Input tokens per request by tenant",
            "Mean input tokens per ended request. A line that rises alone: this tenant causes a prefill burst.",
            metrics.GATEWAY_PROMPT_TOKENS,
            queries.ratio(prompt, requests),
            "suffix: tok",
        ),
        _tenant(
            "Time to first token p95 by tenant",
            "Measured at the gateway: it includes the gateway's own time.",
            metrics.GATEWAY_TTFT,
            queries.quantile(0.95, metrics.GATEWAY_TTFT, "tenant"),
            "s",
            log=True,
        ),
        _tenant(
            "Failed requests by tenant",
            "Failed, rejected, and abandoned requests as a fraction of the tenant's requests.",
            metrics.GATEWAY_FAILURES,
            queries.ratio(failures, requests),
            "percentunit",
        ),
    ]


def _adapters() -> list[Any]:
    """Return the panels by LoRA adapter. Adapters share a base model, its batch and its cache."""
    evaluated = queries.rate(metrics.ADAPTER_REQUESTS, "objective, adapter")
    bad = queries.rate(metrics.ADAPTER_REQUESTS, "objective, adapter", outcome="bad")
    source = f"Source: {metrics.ADAPTER_REQUESTS}, from the plugin in the engine."
    return [
        panels.graph(
            "Requests by LoRA adapter",
            "Requests per second by adapter and SLO; none: the base model. A line that rises alone: this adapter causes the "
            f"surge. {source}",
            [Query(evaluated, "{{adapter}} {{objective}}")],
            unit="reqps",
            no_data=no_data.ADAPTERS,
            many=True,
        ),
        panels.graph(
            "Bad requests by LoRA adapter",
            "Bad requests as a fraction of the adapter's evaluated requests. All lines high: the replica is slow. One line high: its "
            f"input, its output, or a load of its weights. {source}",
            [Query(queries.ratio(bad, evaluated), "{{adapter}} {{objective}}")],
            unit="percentunit",
            max=1,
            no_data=no_data.ADAPTERS,
            many=True,
        ),
    ]


def _tenant(title: str, description: str, metric: Metric, query: str, unit: str, **look: Any) -> Any:
    return panels.graph(
        title,
        f"{description} Source: {metric}, from the gateway.",
        [Query(query, "{{tenant}}")],
        unit=unit,
        no_data=no_data.GATEWAY,
        many=True,
        links=drilldown.traces(),
        **look,
    )

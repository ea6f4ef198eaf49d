"""One pool: are its replicas alike, and is one version worse than the other?"""

from typing import Any

from plimsoll.dashboards import common, drilldown, engine_panels, panels, queries
from plimsoll.dashboards.panels import Query, Section
from plimsoll.slo import links, metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli import evidence
from plimsoll.slo.spec.objectives import Spec


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the pool's dashboard."""
    return panels.page(
        links.POOL,
        "Plimsoll: pool",
        "The replicas of a pool side by side, worst first, and its versions against each other.",
        variables=common.scope(spec, common.version_variable()),
        annotations=common.annotations(),
        links=common.LINKS,
        down=[drilldown.down("One replica in depth", links.REPLICA)],
        sections=[
            Section("", [(4, [*common.vital_signs(), common.reality()])]),
            Section("Is one replica slower?", [(9, _latencies(spec))]),
            Section("Does one replica carry more?", [(9, _load()), (9, engine_panels.scheduler(spec))]),
            Section("Is one version worse?", [(9, _versions(spec))]),
            Section("Is one tenant the cause?", [(9, _tenants())]),
            Section("Is one adapter the cause?", [(9, _adapters())]),
        ],
    )


def _latencies(spec: Spec) -> list[Any]:
    return [
        engine_panels.by_replica(
            f"{title}, p95",
            description,
            histogram,
            limits=common.limits(spec, latency),
        )
        for title, description, histogram, latency in (
            (
                "Time to first token",
                "One line apart: its queue or its prefill; look at the waiting requests.",
                metrics.TTFT,
                "time_to_first_token",
            ),
            (
                "Time per output token",
                "One line apart under the same load: a GPU that lost its clocks or a neighbor that takes them.",
                metrics.TPOT,
                "time_per_output_token",
            ),
            (
                "Whole request",
                "Longer answers make it longer without any fault; compare with the time per token.",
                metrics.DURATION,
                "request_duration",
            ),
        )
    ]


def _load() -> list[Any]:
    in_hand = f"sum by (model, {queries.REPLICA}) ({queries.select(metrics.REQUESTS_RUNNING)})"
    even = f"(sum by (model) ({in_hand}) / count by (model) ({in_hand}))"
    return [
        engine_panels.replicas_up(),
        engine_panels.tokens_by_replica(),
        panels.graph(
            "Busiest replica against an even share",
            "Running requests of the busiest replica over what each would run if they were spread evenly: 1 is even, 2 is "
            f"twice its share. High: the router sends too much to one. Source: {metrics.REQUESTS_RUNNING}.",
            [Query(queries.ratio(f"max by (model) ({in_hand})", even), "{{model}}")],
            unit="suffix: ×",
            no_data="no request runs",
            many=True,
        ),
    ]


def _versions(spec: Spec) -> list[Any]:
    finished = queries.rate_by_version(metrics.FINISHED)
    failed = queries.rate_by_version(metrics.FINISHED, reason="|".join(evidence.FAILED))
    return [
        engine_panels.versions(spec),
        _version(spec, "Time to first token by version, p95", metrics.TTFT, "time_to_first_token"),
        _version(spec, "Time per output token by version, p95", metrics.TPOT, "time_per_output_token"),
        panels.graph(
            "Failed requests by version",
            f"Share of finished requests that ended in an error. Source: {metrics.FINISHED}.",
            [Query(queries.ratio(failed, finished), f"{{{{version}}}}{common.of_model(spec)}")],
            unit="percentunit",
            no_data="no request in this time",
            many=True,
        ),
    ]


def _version(spec: Spec, title: str, histogram: Metric, latency: str) -> Any:
    return panels.graph(
        title,
        "Requests of replicas of the same version together: blue and green side by side while both run. "
        f"Dashed: the objective's limit. Source: {histogram}.",
        [Query(queries.quantile_by_version(0.95, histogram), f"{{{{version}}}}{common.of_model(spec)}")],
        unit="s",
        log=True,
        no_data="no request in this time",
        limits=common.limits(spec, latency),
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
            "Who sends them. A line that rises alone is where a surge comes from.",
            metrics.GATEWAY_REQUESTS,
            requests,
            "reqps",
        ),
        _tenant(
            "Tokens in a prompt by tenant",
            "Prompt tokens over requests, of those that ended. The tenant whose prompts grew is the cause of a prefill burst.",
            metrics.GATEWAY_PROMPT_TOKENS,
            queries.ratio(prompt, requests),
            "suffix: tok",
        ),
        _tenant(
            "Time to first token by tenant, p95",
            "As the gateway sees it: with its own time, and for each tenant's own prompts.",
            metrics.GATEWAY_TTFT,
            queries.quantile(0.95, metrics.GATEWAY_TTFT, "tenant"),
            "s",
            log=True,
        ),
        _tenant(
            "Failed requests by tenant",
            "Share of a tenant's requests that failed, were refused or whose client left.",
            metrics.GATEWAY_FAILURES,
            queries.ratio(failures, requests),
            "percentunit",
        ),
    ]


def _adapters() -> list[Any]:
    """LoRA adapters share a base model, its batch and its cache; each objective evaluates their requests apart."""
    evaluated = queries.rate(metrics.ADAPTER_REQUESTS, "objective, adapter")
    bad = queries.rate(metrics.ADAPTER_REQUESTS, "objective, adapter", outcome="bad")
    source = f"Source: {metrics.ADAPTER_REQUESTS}, by the plugin in the engine."
    return [
        panels.graph(
            "Requests by adapter",
            "Whose requests they are, by objective that evaluates them; none: the base model. A line that rises alone is where a "
            f"surge comes from. {source}",
            [Query(evaluated, "{{adapter}} {{objective}}")],
            unit="reqps",
            no_data="no adapters are served",
            many=True,
        ),
        panels.graph(
            "Bad requests by adapter",
            "Share of an adapter's evaluated requests that were bad. All alike: the replica is slow; one alone: its prompts, its "
            f"answers, or a load of its weights. {source}",
            [Query(queries.ratio(bad, evaluated), "{{adapter}} {{objective}}")],
            unit="percentunit",
            max=1,
            no_data="no adapters are served",
            many=True,
        ),
    ]


def _tenant(title: str, description: str, metric: Metric, query: str, unit: str, **look: Any) -> Any:
    return panels.graph(
        title,
        f"{description} Source: {metric}, at the gateway.",
        [Query(query, "{{tenant}}")],
        unit=unit,
        no_data="no gateway reports",
        many=True,
        links=drilldown.traces(),
        **look,
    )

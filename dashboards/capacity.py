"""The capacity and cost dashboard: nodes, recommendation, headroom and cost per token of each pool."""

from collections.abc import Callable
from typing import Any

from plimsoll.dashboards import common, drilldown, engine_panels, no_data, panels, queries
from plimsoll.dashboards.panels import BAD, GOOD, GREEN, GREY, ORANGE, SKY, WARN, Query, Section, Step
from plimsoll.slo import links, metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.spec.objectives import Pool, Spec

_HOUR = 3600
_MILLION = 1_000_000


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the dashboard of capacity and cost."""
    priced = [pool for pool in spec.pools if pool.node.hourly_usd]
    return panels.dashboard(
        links.CAPACITY,
        "Plimsoll / Capacity and cost",
        "Nodes up and recommended, the signals behind the recommendation, and cost per 1M tokens.",
        variables=common.scope(spec),
        annotations=common.annotations(),
        links=common.LINKS,
        default_links=[drilldown.to_dashboard("Pool dashboard", links.POOL)],
        sections=[
            Section("", [(4, [*_headlines(spec), common.simulated_stat()])]),
            Section("Node count", [(9, [_nodes(spec), _waiting(spec), _headroom(spec)])]),
            Section("Load", [(9, engine_panels.scheduler(spec)), (9, engine_panels.memory())]),
            *([Section("Cost", [(9, _cost(priced))])] if priced else []),
        ],
    )


def _per_pool(pools: Any, write: Callable[[Pool], str]) -> list[Query]:
    return [Query(write(pool), pool.name) for pool in pools]


def _sum(metric: Metric, pool: Pool) -> str:
    return f"sum({queries.select(metric, **dict(pool.labels))})"


def _nodes_up(pool: Pool) -> str:
    """Return the number of a pool's nodes that are up: its reporting replicas, divided by the replicas of a node."""
    return f"{queries.replica_count(**dict(pool.labels))} / {pool.node.replicas}"


def _tokens(pool: Pool, *kinds: Metric) -> str:
    """Return tokens per second of these kinds, by default of input and output."""
    both = kinds or (metrics.PROMPT_TOKENS, metrics.GENERATION_TOKENS)
    return " + ".join(queries.rate(kind, **dict(pool.labels)) for kind in both)


def _headlines(spec: Spec) -> list[Any]:
    to_pages = [drilldown.link("Open in Plimsoll", links.pool_page(pool.name)) for pool in spec.pools]
    change = [
        Query(f"max({queries.of_pools(metrics.RECOMMENDED_NODES.name, pool=pool.name)}) - {_nodes_up(pool)}", pool.name)
        for pool in spec.pools
    ]
    return [
        panels.stat(
            "Recommended change (nodes)",
            "Recommended nodes minus nodes up. Above zero: add nodes. Below zero: remove nodes. Open the pool's page for the "
            f"reasons. Source: {metrics.RECOMMENDED_NODES}, {metrics.REPLICA_INFO}.",
            change,
            unit="none",
            no_data=no_data.RECOMMENDATION,
            base=GREY,
            steps=[Step(0, GOOD), Step(1, WARN)],
            links=to_pages,
        ),
        panels.stat(
            "Nodes up",
            f"Reporting replicas divided by the replicas of a node. Red: below the pool's minimum. Source: {metrics.REPLICA_INFO}.",
            _per_pool(spec.pools, _nodes_up),
            unit="none",
            no_data=no_data.REPLICA,
            overrides=[
                panels.override(pool.name, thresholds=panels.steps_of([Step(pool.nodes.min, GOOD)], BAD))
                for pool in spec.pools
            ],
            links=to_pages,
        ),
    ]


def _nodes(spec: Spec) -> Any:
    bounds = sorted({float(count) for pool in spec.pools for count in (pool.nodes.min, pool.nodes.max)})
    return panels.graph(
        links.NODES.title,
        "Dashed: the pool's minimum and maximum. Recommended above up for longer than a cold start: new nodes don't become "
        f"ready. Source: {metrics.RECOMMENDED_NODES}, {metrics.REPLICA_INFO}.",
        [
            Query(f"max by (pool) ({queries.of_pools(metrics.RECOMMENDED_NODES.name)})", "recommended {{pool}}"),
            *(Query(_nodes_up(pool), f"up {pool.name}") for pool in spec.pools),
        ],
        unit="short",
        decimals=0,
        no_data=no_data.REPLICA,
        query_colors=[ORANGE, *[SKY] * len(spec.pools)],
        limits=bounds,
        many=True,
    )


def _waiting(spec: Spec) -> Any:
    return panels.graph(
        "Waiting requests per node",
        "Above the pool's limit (dashed), more nodes are recommended. "
        f"Source: {metrics.REQUESTS_WAITING}, {metrics.REPLICA_INFO}.",
        _per_pool(spec.pools, lambda pool: queries.ratio(_sum(metrics.REQUESTS_WAITING, pool), _nodes_up(pool))),
        unit="short",
        no_data=no_data.ENGINE,
        limits=sorted({float(pool.max_waiting_per_node) for pool in spec.pools}),
        many=True,
    )


def _headroom(spec: Spec) -> Any:
    """Return the panel of throughput, saturation throughput, and saturation throughput without one node (N+1 redundancy)."""

    def saturation(pool: Pool, fewer: int = 0) -> str:
        each = f"({queries.of_pools(metrics.REPLICA_CAPACITY.name, pool=pool.name)})"
        all_of_them = f"{pool.node.replicas} * {_nodes_up(pool)} * (sum{each} / count{each})"
        return f"clamp_min({all_of_them} - {fewer * pool.node.replicas} * max{each}, 0)" if fewer else all_of_them

    return panels.graph(
        "Demand vs. capacity",
        "Throughput (input and output tokens per second), measured saturation throughput of the nodes up, and that without the "
        "strongest node. Throughput above the last line: the pool can't tolerate the loss of a node. "
        f"Source: {metrics.PROMPT_TOKENS}, {metrics.GENERATION_TOKENS}, {metrics.REPLICA_CAPACITY}.",
        [
            query
            for pool in spec.pools
            for query in (
                Query(_tokens(pool), f"throughput {pool.name}"),
                Query(saturation(pool), f"saturation {pool.name}"),
                Query(saturation(pool, fewer=1), f"without one node {pool.name}"),
            )
        ],
        unit="suffix: tok/s",
        no_data=no_data.ENGINE,
        query_colors=[SKY, GREEN, ORANGE] * len(spec.pools),
        many=True,
    )


def _hourly(pool: Pool) -> str:
    return pool.node.usd_per_hour_promql(_nodes_up(pool))


def _per_million(pool: Pool, *kinds: Metric) -> str:
    return f"{_MILLION} / {_HOUR} * {queries.ratio(_hourly(pool), _tokens(pool, *kinds))}"


def _cost(pools: list[Pool]) -> list[Any]:
    return [*_per_token(pools), *_per_hour(pools)]


def _per_token(pools: list[Pool]) -> list[Any]:
    return [
        panels.graph(
            "Cost per 1M tokens",
            "Cost of the nodes up per 1M input and output tokens together. It falls as utilization rises. "
            f"Source: prices in the objectives file, {metrics.PROMPT_TOKENS}, {metrics.GENERATION_TOKENS}.",
            _per_pool(pools, _per_million),
            unit="currencyUSD",
            decimals=2,
            no_data=no_data.TOKENS,
            many=True,
        ),
        panels.graph(
            "Cost per 1M input / output tokens",
            "Total cost of the nodes up per 1M input tokens, and per 1M output tokens. Each divides the total cost: don't add "
            "them. "
            f"Source: prices in the objectives file, {metrics.PROMPT_TOKENS}, {metrics.GENERATION_TOKENS}.",
            [
                Query(_per_million(pool, kind), f"{what} {pool.name}")
                for pool in pools
                for kind, what in ((metrics.PROMPT_TOKENS, "input"), (metrics.GENERATION_TOKENS, "output"))
            ],
            unit="currencyUSD",
            decimals=2,
            no_data=no_data.TOKENS,
            many=True,
        ),
    ]


def _per_hour(pools: list[Pool]) -> list[Any]:
    return [
        panels.graph(
            "Cost per hour",
            "Cost of the nodes up, including reserved nodes that are down, without warm spares. "
            f"Source: prices in the objectives file, {metrics.REPLICA_INFO}.",
            _per_pool(pools, _hourly),
            unit="currencyUSD",
            decimals=2,
            no_data=no_data.REPLICA,
            many=True,
        ),
        panels.graph(
            "Cost per hour by tenant",
            "Cost of the nodes up, shared by input and output tokens. Rest: tokens that no gateway counted. Source: prices in the objectives "
            f"file, {metrics.GATEWAY_PROMPT_TOKENS}, {metrics.GATEWAY_GENERATION_TOKENS}.",
            [query for pool in pools for query in _of_tenants(pool)],
            unit="currencyUSD",
            decimals=2,
            no_data=no_data.GATEWAY,
            many=True,
        ),
    ]


def _of_tenants(pool: Pool) -> list[Query]:
    """Return the cost of each tenant of a pool, idle capacity included, and what is left of the whole."""
    labels = {**dict(pool.labels), "model": (pool.model, *pool.adapters)}
    kinds = (metrics.GATEWAY_PROMPT_TOKENS, metrics.GATEWAY_GENERATION_TOKENS)
    tokens = " + ".join(queries.rate(kind, "tenant", **labels) for kind in kinds)
    cost = f"({tokens}) * on () group_left () ({queries.ratio(_hourly(pool), f'({_tokens(pool)})')})"
    rest = f"clamp_min({_hourly(pool)} - sum({cost}), 0)"
    return [Query(cost, f"{{{{tenant}}}} {pool.name}"), Query(rest, f"rest of {pool.name}")]

"""How much more each pool can carry, what the recommender asks for, and what a token costs."""

from collections.abc import Callable
from typing import Any

from plimsoll.dashboards import common, drilldown, engine_panels, panels, queries
from plimsoll.dashboards.panels import BAD, GOOD, GREEN, GREY, ORANGE, SKY, WARN, Query, Section, Step
from plimsoll.slo import links, metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.spec.objectives import Pool, Spec

_HOUR = 3600
_MILLION = 1_000_000


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the dashboard of capacity and cost."""
    priced = [pool for pool in spec.pools if pool.node.hourly_usd]
    return panels.page(
        links.CAPACITY,
        "Plimsoll: capacity and cost",
        "Nodes that serve against nodes recommended, the signals behind it, and dollars per million tokens.",
        variables=common.scope(spec),
        annotations=common.annotations(),
        links=common.LINKS,
        down=[drilldown.down("The replicas of this pool", links.POOL)],
        sections=[
            Section("", [(4, [*_headlines(spec), common.reality()])]),
            Section("Are there enough nodes?", [(9, [_nodes(spec), _waiting(spec), _headroom(spec)])]),
            Section("What is the load?", [(9, engine_panels.scheduler(spec)), (9, engine_panels.memory())]),
            *([Section("What does it cost?", [(9, _cost(priced))])] if priced else []),
        ],
    )


def _per_pool(pools: Any, write: Callable[[Pool], str]) -> list[Query]:
    return [Query(write(pool), pool.name) for pool in pools]


def _sum(metric: Metric, pool: Pool) -> str:
    return f"sum({queries.select(metric, model=pool.model)})"


def _serving(pool: Pool) -> str:
    """Nodes of a pool that serve: its replicas that say what they serve, over the replicas of a node."""
    return f"{queries.replicas_known(model=pool.model)} / {pool.node.replicas}"


def _tokens(pool: Pool, *kinds: Metric) -> str:
    """Tokens a second, of these kinds, or prompt and generated."""
    both = kinds or (metrics.PROMPT_TOKENS, metrics.GENERATION_TOKENS)
    return " + ".join(queries.rate(kind, model=pool.model) for kind in both)


def _headlines(spec: Spec) -> list[Any]:
    to_pages = [drilldown.link("Reasons and evidence", links.pool_page(pool.name)) for pool in spec.pools]
    missing = [
        Query(f'max({metrics.RECOMMENDED_NODES}{{pool="{pool.name}",pool=~"$pool"}}) - {_serving(pool)}', pool.name)
        for pool in spec.pools
    ]
    return [
        panels.stat(
            "Nodes to add or release",
            "Recommended nodes less those that serve: above zero add, below zero release. The reasons are in the SLO "
            f"service. Source: {metrics.RECOMMENDED_NODES}, {metrics.REPLICA_INFO}.",
            missing,
            unit="none",
            no_data="unknown: no recommendation",
            base=GREY,
            steps=[Step(0, GOOD), Step(1, WARN)],
            links=to_pages,
        ),
        panels.stat(
            "Nodes that serve",
            f"Replicas that answer, over the replicas of a node. Source: {metrics.REPLICA_INFO}.",
            _per_pool(spec.pools, _serving),
            unit="none",
            no_data="no replica reports",
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
        "Nodes serving and recommended",
        "Dashed: the smallest and the largest pool allowed. Recommended above serving for longer than a start takes: nodes "
        f"do not arrive. Source: {metrics.RECOMMENDED_NODES}, {metrics.REPLICA_INFO}.",
        [
            Query(f'max by (pool) ({metrics.RECOMMENDED_NODES}{{pool=~"$pool"}})', "recommended {{pool}}"),
            *(Query(_serving(pool), f"serving {pool.name}") for pool in spec.pools),
        ],
        unit="short",
        decimals=0,
        no_data="unknown: no replica and no recommendation",
        query_colours=[ORANGE, *[SKY] * len(spec.pools)],
        limits=bounds,
        many=True,
    )


def _waiting(spec: Spec) -> Any:
    return panels.graph(
        "Waiting requests per node",
        "The signal on which the pool grows. Dashed: its limit. "
        f"Source: {metrics.REQUESTS_WAITING}, {metrics.REPLICA_INFO}.",
        _per_pool(spec.pools, lambda pool: queries.ratio(_sum(metrics.REQUESTS_WAITING, pool), _serving(pool))),
        unit="short",
        no_data="no engine reports",
        limits=sorted({float(pool.max_waiting_per_node) for pool in spec.pools}),
        many=True,
    )


def _headroom(spec: Spec) -> Any:
    """Demand against what the pool can do, and against that without one node (N-1)."""

    def capacity(pool: Pool, fewer: int = 0) -> str:
        each = f'({metrics.REPLICA_CAPACITY}{{pool="{pool.name}",pool=~"$pool"}})'
        all_of_them = f"{pool.node.replicas} * {_serving(pool)} * (sum{each} / count{each})"
        return f"clamp_min({all_of_them} - {fewer * pool.node.replicas} * max{each}, 0)" if fewer else all_of_them

    return panels.graph(
        "Demand against capacity",
        "Tokens a second, prompt and generated, that the pool does; what its serving nodes can do, measured while requests "
        "waited; and what is left without one of them, the strongest. Demand above that last line: the loss of a node would hurt. "
        f"Source: {metrics.PROMPT_TOKENS}, {metrics.GENERATION_TOKENS}, {metrics.REPLICA_CAPACITY}.",
        [
            query
            for pool in spec.pools
            for query in (
                Query(_tokens(pool), f"demand {pool.name}"),
                Query(capacity(pool), f"capacity {pool.name}"),
                Query(capacity(pool, fewer=1), f"without one node {pool.name}"),
            )
        ],
        unit="suffix: tok/s",
        no_data="no engine reports",
        query_colours=[SKY, GREEN, ORANGE] * len(spec.pools),
        many=True,
    )


def _cost(pools: list[Pool]) -> list[Any]:
    def hourly(pool: Pool) -> str:
        return pool.node.usd_per_hour_promql(_serving(pool))

    def per_million(pool: Pool, *kinds: Metric) -> str:
        return f"{_MILLION} / {_HOUR} * {queries.ratio(hourly(pool), _tokens(pool, *kinds))}"

    return [
        panels.graph(
            "Cost per million tokens",
            "Price of the serving nodes over all tokens, prompt and generated. It falls as nodes are used better. "
            f"Source: the objectives file's prices, {metrics.PROMPT_TOKENS}, {metrics.GENERATION_TOKENS}.",
            _per_pool(pools, per_million),
            unit="currencyUSD",
            decimals=2,
            no_data="no token in this time",
            many=True,
        ),
        panels.graph(
            "Cost per million in and out",
            "The whole price of the serving nodes over either count of tokens, as prices are quoted. Which part of it prompts cause "
            "is not known of a running pool, so the two must not be added. "
            f"Source: the objectives file's prices, {metrics.PROMPT_TOKENS}, {metrics.GENERATION_TOKENS}.",
            [
                Query(per_million(pool, kind), f"{what} {pool.name}")
                for pool in pools
                for kind, what in ((metrics.PROMPT_TOKENS, "in"), (metrics.GENERATION_TOKENS, "out"))
            ],
            unit="currencyUSD",
            decimals=2,
            no_data="no token in this time",
            many=True,
        ),
        panels.graph(
            "Cost per hour",
            f"Price of the nodes that serve, and of reserved ones in any case; warm spares not included. Source: the objectives file's prices, {metrics.REPLICA_INFO}.",
            _per_pool(pools, hourly),
            unit="currencyUSD",
            decimals=2,
            no_data="no replica reports",
            many=True,
        ),
    ]

"""Panels that compare prefill with decode engines. Engines that do both are one role, `both`."""

from typing import Any

from plimsoll.dashboards import no_data, panels, queries
from plimsoll.dashboards.panels import BLUE, GREY, ORANGE, Query
from plimsoll.slo import links, metrics

_COLORS = {"prefill": ORANGE, "decode": BLUE, "both": GREY}


def by_role() -> list[Any]:
    """Return the panels: replicas, tokens, and the fullest KV cache of each role."""
    info = queries.select(metrics.REPLICA_INFO)
    replicas = f"count by (role) (group by (role, {queries.REPLICA}) ({_named(info)}))"
    tokens = f"rate({queries.select(metrics.PROGRESS_TOKENS)}[$__rate_interval])"
    return [
        _panel(
            links.ROLES.title,
            "Replicas that report, by role. Without prefill or without decode the pool serves nothing. "
            f"Source: {metrics.REPLICA_INFO}.",
            replicas,
            "short",
        ),
        _panel(
            "Tokens per second by role",
            "Prefill: input tokens. Decode: input received, and output. Prefill falls alone: it is short or idle; check its queue. "
            f"Decode falls alone: transfers fail. Source: {metrics.PROGRESS_TOKENS}.",
            f"sum by (role) ({_named(_with_role(tokens))})",
            "suffix: tok/s",
        ),
        _panel(
            "KV cache usage by role",
            "Fraction of KV cache blocks in use, of the fullest replica. Prefill full with nothing running: decode doesn't fetch its "
            f"blocks. Source: {metrics.KV_CACHE_USAGE}.",
            f"max by (role) ({_named(_with_role(queries.select(metrics.KV_CACHE_USAGE)))})",
            "percentunit",
        ),
    ]


def _with_role(vector: str) -> str:
    """Join the role of each replica. `topk` keeps one series: two overlap for a moment after a change and fail the join."""
    info = queries.select(metrics.REPLICA_INFO)
    return f"{vector} * on ({queries.REPLICA}) group_left (role) topk by ({queries.REPLICA}) (1, {info})"


def _named(vector: str) -> str:
    return f'label_replace({vector}, "role", "both", "role", "")'


def _panel(title: str, description: str, query: str, unit: str) -> Any:
    return panels.graph(
        title, description, [Query(query, "{{role}}")], unit=unit, no_data=no_data.ENGINE, colors=_COLORS
    )

"""One replica in depth: what it was asked, where its time went, what it holds, and its GPUs, by the join."""

from typing import Any

from plimsoll.dashboards import common, engine_panels, gpu_panels, panels, queries
from plimsoll.dashboards.panels import BLUE, GREY, ORANGE, SKY, VERMILLION, Query, Section
from plimsoll.slo import links, metrics
from plimsoll.slo.spec.objectives import Spec


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the replica's dashboard."""
    return panels.page(
        links.REPLICA,
        "Plimsoll: replica",
        "One engine in depth; choose it above. With All chosen, quantiles are taken over the requests of all of them.",
        variables=common.scope(spec, common.version_variable()),
        annotations=common.annotations(),
        links=common.LINKS,
        down=[common.TO_GPU],
        sections=[
            Section("", [(4, [*common.vital_signs(), common.reality()])]),
            Section("What is it asked?", [(8, _asked(spec))]),
            Section("Where does its time go?", [(8, engine_panels.latencies(spec)), (8, engine_panels.phases(spec))]),
            Section("What does it hold?", [(9, engine_panels.scheduler(spec)), (9, engine_panels.memory())]),
            Section("What do its shortcuts save?", [(9, _shortcuts())]),
            Section("How does it end?", [(9, [_tokens_held(), _reasons(), engine_panels.uptime()])]),
            Section("Are its GPUs well?", [(9, gpu_panels.state()), (9, gpu_panels.load())]),
        ],
    )


def _asked(spec: Spec) -> list[Any]:
    return [
        engine_panels.quantiles(
            spec,
            "Prompt length",
            "Tokens in a prompt. A wider gap between p50 and p99 means short requests wait behind long prefills.",
            metrics.PROMPT_LENGTH,
            unit="suffix: tok",
        ),
        engine_panels.quantiles(
            spec,
            "Answer length",
            "Tokens in an answer. Longer answers lengthen the whole request and hold the KV cache, without any fault.",
            metrics.GENERATION_LENGTH,
            unit="suffix: tok",
        ),
        engine_panels.quantiles(
            spec,
            "Gap between two tokens",
            "What a reader feels as stutter: every single gap, not a request's mean. High p99 with a calm p50: prefills of "
            "others interrupt the decoding.",
            metrics.ITL,
        ),
    ]


def _shortcuts() -> list[Any]:
    drafts, drafted, accepted, asked, found, asked_behind, found_behind = (
        queries.rate(metric, queries.REPLICA)
        for metric in (
            *(metrics.DRAFTS, metrics.DRAFTED, metrics.DRAFTED_ACCEPTED),
            *(metrics.PREFIX_QUERIED, metrics.PREFIX_HIT),
            *(metrics.EXTERNAL_PREFIX_QUERIED, metrics.EXTERNAL_PREFIX_HIT),
        )
    )
    return [
        panels.graph(
            "Prefix cache by tier",
            "Share of the prompt tokens looked up in a tier that were found there: the GPU's own cache, and what is behind it "
            "(host memory, disk, other nodes), which is asked for the rest. "
            f"Source: {metrics.PREFIX_HIT}, {metrics.EXTERNAL_PREFIX_HIT}, and what was queried.",
            [
                Query(queries.ratio(found, asked), f"GPU {queries.REPLICA_NAME}"),
                Query(queries.ratio(found_behind, asked_behind), f"behind {queries.REPLICA_NAME}"),
            ],
            unit="percentunit",
            max=1,
            low=True,
            no_data="no prompt in this time",
            many=True,
        ),
        panels.graph(
            "Drafted tokens that were accepted",
            "Speculative decoding: low means that drafts cost more than they save, and the time per token rises with the batch. "
            f"Source: {metrics.DRAFTED_ACCEPTED}, {metrics.DRAFTED}.",
            [Query(queries.ratio(accepted, drafted), queries.REPLICA_NAME)],
            unit="percentunit",
            max=1,
            low=True,
            no_data="no speculative decoding",
            many=True,
        ),
        panels.graph(
            "Tokens a step by speculation",
            "Tokens that a sequence gains in a step: the model's own and the accepted ones of its draft. 1: nothing is gained. "
            f"Source: {metrics.DRAFTED_ACCEPTED}, {metrics.DRAFTS}.",
            [Query(f"1 + {queries.ratio(accepted, drafts)}", queries.REPLICA_NAME)],
            unit="suffix: tok",
            no_data="no speculative decoding",
            many=True,
        ),
    ]


def _tokens_held() -> Any:
    held = f"sum by ({queries.REPLICA}) ({queries.select(metrics.KV_CACHE_USAGE)} * {queries.select(metrics.KV_CACHE_CAPACITY)})"
    return panels.graph(
        "Tokens in the KV cache",
        "Context that the engine holds for running requests; its capacity is fixed at start. "
        f"Source: {metrics.KV_CACHE_USAGE}, {metrics.KV_CACHE_CAPACITY}.",
        [
            Query(held, f"held {queries.REPLICA_NAME}"),
            Query(queries.gauge(metrics.KV_CACHE_CAPACITY, queries.REPLICA), f"capacity {queries.REPLICA_NAME}"),
        ],
        unit="suffix: tok",
        no_data="no engine reports",
        many=True,
    )


def _reasons() -> Any:
    return panels.graph(
        "Finished requests by reason",
        "stop: the model ended; length: the limit was reached; abort: the client left; error and repetition: the engine's. "
        f"Source: {metrics.FINISHED}.",
        [Query(queries.rate(metrics.FINISHED, "reason"), "{{reason}}")],
        colors={"stop": SKY, "length": BLUE, "abort": GREY, "error": VERMILLION, "repetition": ORANGE},
        unit="reqps",
        no_data="no engine reports",
        many=True,
    )

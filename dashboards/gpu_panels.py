"""Panels about GPUs. Their metrics carry a uuid; `gpu_info` gives the index that nvidia-smi shows."""

from typing import Any

from plimsoll.dashboards import common, panels, queries
from plimsoll.dashboards.panels import BAD, GOOD, Query, Text
from plimsoll.slo import links, metrics
from plimsoll.slo.metrics import Metric, recorded

LEGEND = "{{instance}} GPU {{index}}"
_NONE = "no GPU reports"
_CLOCK = (
    "SM clock over its maximum. Below the others under the same load: heat or a power cap takes its clocks, and time per "
    f"token rises. Source: {metrics.GPU_CLOCK}, {metrics.GPU_CLOCK_MAX}."
)


def gpus_up() -> Any:
    """Which expected GPUs answer."""
    return panels.timeline(
        links.GPUS.title,
        "Every expected GPU of the chosen replicas' nodes over time. Lost: it fell off the bus or its driver hangs. "
        f"Source: {metrics.GPU_UP}.",
        [Query(queries.gpus_up(), "{{instance}} {{uuid}}")],
        unit="none",
        no_data=_NONE,
        texts={1: Text("up", GOOD), 0: Text("lost", BAD)},
        links=[common.TO_GPU],
    )


def state() -> list[Any]:
    """Which GPUs answer, how hot they are and whether they keep their clocks."""
    return [
        gpus_up(),
        per_gpu("GPU temperature", "Core temperature. A hot GPU loses its clocks.", metrics.GPU_TEMPERATURE, "celsius"),
        panels.graph(
            "GPU clock, share of highest",
            _CLOCK,
            [Query(queries.per_gpu(f"{_domain(metrics.GPU_CLOCK)} / {_domain(metrics.GPU_CLOCK_MAX)}"), LEGEND)],
            unit="percentunit",
            max=1,
            no_data=_NONE,
            many=True,
            low=True,
        ),
    ]


def worst() -> list[Any]:
    """Which GPUs answer, and of each node the slowest and the hottest: few lines where there are many GPUs."""
    return [
        gpus_up(),
        _of_node(
            "GPU clock, slowest of each node",
            _CLOCK,
            queries.of_node(recorded.NODE_CLOCK),
            "percentunit",
            low=True,
            max=1,
        ),
        _of_node(
            "GPU temperature, hottest of each node",
            f"Core temperature. A hot GPU loses its clocks. Source: {metrics.GPU_TEMPERATURE}.",
            queries.of_node(recorded.NODE_TEMPERATURE),
            "celsius",
        ),
    ]


def _of_node(title: str, description: str, query: str, unit: str, **look: Any) -> Any:
    return panels.graph(
        title,
        description,
        [Query(query, "{{instance}}")],
        unit=unit,
        no_data=_NONE,
        many=True,
        links=[common.TO_GPU],
        **look,
    )


def load() -> list[Any]:
    """Memory, power and time busy."""
    return [
        _share(
            "GPU memory used",
            "Device memory in use by processes. An engine takes its share at start: a step is a restart or a stranger.",
            metrics.GPU_MEMORY_USED,
            metrics.GPU_MEMORY_TOTAL,
        ),
        _share(
            "GPU power, share of limit",
            "Board power over its enforced limit. At the limit the clocks give way.",
            metrics.GPU_POWER,
            metrics.GPU_POWER_LIMIT,
        ),
        per_gpu(
            "GPU busy",
            "Share of time with at least one kernel running: near 100 % for healthy and saturated engines alike. Useful only "
            "when it is low; never a scaling signal.",
            metrics.GPU_BUSY,
            "percentunit",
            max=1,
        ),
    ]


def per_gpu(title: str, description: str, metric: Metric, unit: str, **look: Any) -> Any:
    """One number of each GPU, worst first."""
    return panels.graph(
        title,
        f"{description} Source: {metric}.",
        [Query(queries.per_gpu(queries.select(metric)), LEGEND)],
        unit=unit,
        no_data=_NONE,
        many=True,
        **look,
    )


def _domain(clock: Metric) -> str:
    return queries.select(clock, domain="sm")


def _share(title: str, description: str, part: Metric, whole: Metric) -> Any:
    return panels.graph(
        title,
        f"{description} Source: {part}, {whole}.",
        [Query(queries.per_gpu(f"{queries.select(part)} / {queries.select(whole)}"), LEGEND)],
        unit="percentunit",
        max=1,
        no_data=_NONE,
        many=True,
    )

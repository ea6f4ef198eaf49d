"""Panels about GPUs. Their metrics carry a uuid; `gpu_info` adds the index that nvidia-smi shows."""

from typing import Any

from plimsoll.dashboards import common, no_data, panels, queries
from plimsoll.dashboards.panels import BAD, GOOD, Query, Text
from plimsoll.slo import links, metrics
from plimsoll.slo.metrics import Metric, recorded

LEGEND = "{{instance}} GPU {{index}}"
_CLOCK = (
    "SM clock as a fraction of its maximum. Below the others under the same load: throttled by heat or a power cap. Time "
    f"per token rises. Source: {metrics.GPU_CLOCK}, {metrics.GPU_CLOCK_MAX}."
)


def gpus_up() -> Any:
    """Return the panel of expected GPUs that are up or lost."""
    return panels.timeline(
        links.GPUS.title,
        "Expected GPUs of the chosen replicas over time. Lost: the GPU fell off the bus, or its driver hangs. Drain the node. "
        f"Source: {metrics.GPU_UP}.",
        [Query(queries.gpus_up(), "{{instance}} {{uuid}}")],
        unit="none",
        no_data=no_data.GPU,
        texts={1: Text("up", GOOD), 0: Text("lost", BAD)},
        links=[common.TO_GPU],
    )


def state() -> list[Any]:
    """Return the panels of each GPU's availability, temperature and clock."""
    return [
        gpus_up(),
        per_gpu("GPU temperature", "Core temperature. A hot GPU is throttled.", metrics.GPU_TEMPERATURE, "celsius"),
        panels.graph(
            "SM clock (% of max)",
            _CLOCK,
            [Query(queries.per_gpu(f"{_domain(metrics.GPU_CLOCK)} / {_domain(metrics.GPU_CLOCK_MAX)}"), LEGEND)],
            unit="percentunit",
            max=1,
            no_data=no_data.GPU,
            many=True,
            low=True,
        ),
    ]


def worst() -> list[Any]:
    """Return the panels of GPU availability and of each node's slowest and hottest GPU: few lines for many GPUs."""
    return [
        gpus_up(),
        _of_node(
            "SM clock, lowest per node",
            _CLOCK,
            queries.of_node(recorded.NODE_CLOCK),
            "percentunit",
            low=True,
            max=1,
        ),
        _of_node(
            "GPU temperature, highest per node",
            f"Core temperature. A hot GPU is throttled. Source: {metrics.GPU_TEMPERATURE}.",
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
        no_data=no_data.GPU,
        many=True,
        links=[common.TO_GPU],
        **look,
    )


def load() -> list[Any]:
    """Return the panels of memory, power and kernel time."""
    return [
        _share(
            "GPU memory used",
            "Fraction of device memory used by processes. An engine reserves its memory at start: a step is a restart or another process.",
            metrics.GPU_MEMORY_USED,
            metrics.GPU_MEMORY_TOTAL,
        ),
        _share(
            "Power (% of limit)",
            "Board power as a fraction of its enforced limit. At the limit, clocks drop.",
            metrics.GPU_POWER,
            metrics.GPU_POWER_LIMIT,
        ),
        per_gpu(
            "GPU utilization (kernel time)",
            "Fraction of time with at least one kernel running. Near 100% for any busy engine: useful only when low. Don't "
            "scale on it.",
            metrics.GPU_BUSY,
            "percentunit",
            max=1,
        ),
    ]


def per_gpu(title: str, description: str, metric: Metric, unit: str, **look: Any) -> Any:
    """Return a panel of one metric of each GPU, worst first."""
    return panels.graph(
        title,
        f"{description} Source: {metric}.",
        [Query(queries.per_gpu(queries.select(metric)), LEGEND)],
        unit=unit,
        no_data=no_data.GPU,
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
        no_data=no_data.GPU,
        many=True,
    )

"""Panels about GPUs. Their metrics carry a uuid; `gpu_info` adds the index that nvidia-smi shows."""

from typing import Any

from plimsoll.dashboards import common, no_data, panels, queries
from plimsoll.dashboards.panels import BAD, GOOD, Query, Text
from plimsoll.slo import links, metrics
from plimsoll.slo.metrics import Metric, recorded

SLOW = 0.9  # the threshold of GPUSlowerThanFellows
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


def stragglers() -> Any:
    """Return the panel that names the GPU at whose pace its replica runs."""
    ratio = queries.of_replicas(recorded.CLOCK_RATIO, against="group")
    active = queries.of_replicas(recorded.ACTIVITY_RATIO)
    return panels.graph(
        links.GPU_STRAGGLERS.title,
        "Clock of each busy GPU as a ratio to the upper quartile of its replica's GPUs, lowest first; and SM activity the other way "
        f"around, as the GPU that others wait for is the most active. A replica runs at the pace of its slowest GPU. Clock below {SLOW:.0%}: "
        f"GPUSlowerThanFellows. Source: {recorded.CLOCK_RATIO}, {recorded.ACTIVITY_RATIO}.",
        [
            Query(
                f"bottomk(10, min by (instance, uuid, replica) ({ratio}))", "{{replica}} {{instance}} {{uuid}} clock"
            ),
            Query(
                f"bottomk(10, clamp_max(1 / max by (instance, uuid, replica) ({active}), 1))",
                "{{replica}} {{instance}} {{uuid}} others' activity",
            ),
        ],
        unit="percentunit",
        limits=[SLOW],
        no_data=no_data.GROUPS,
        many=True,
        low=True,
        links=[common.TO_GPU],
    )


def not_readable() -> list[Any]:
    """Return the panels of GPUs that can't be asked, of missing metrics, and of the NVSwitch fabric."""
    fabric = (
        f"({queries.select(metrics.GPU_FABRIC_STATE)} < bool 3) or ({queries.select(metrics.GPU_FABRIC_STATUS)} > bool 0) "
        f"or ({queries.select(metrics.GPU_FABRIC_FAULT)} == bool 1)"
    )
    return [
        panels.graph(
            links.GPU_STATES.title,
            "GPUs that the exporter can't ask, by reason, and metrics that a GPU had and lost. Neither means that the GPU is lost. "
            f"Source: {metrics.GPU_NOT_READABLE}, {metrics.GPU_METRIC_MISSING}.",
            [
                Query(
                    f"count by (instance, reason) ({queries.of_gpus(queries.select(metrics.GPU_NOT_READABLE))})",
                    "{{instance}} {{reason}}",
                ),
                Query(
                    f"count by (instance, uuid) ({queries.of_gpus(queries.select(metrics.GPU_METRIC_MISSING))})",
                    "{{instance}} {{uuid}} metrics missing",
                ),
            ],
            unit="short",
            decimals=0,
            no_data=no_data.READABLE,
            many=True,
        ),
        panels.timeline(
            links.GPU_FABRIC.title,
            "Whether each GPU joined the NVSwitch fabric, and the fabric is healthy. "
            f"Source: {metrics.GPU_FABRIC_STATE}, {metrics.GPU_FABRIC_STATUS}, {metrics.GPU_FABRIC_FAULT}.",
            [Query(f"max by (instance, uuid) ({queries.of_gpus(f'({fabric})')})", "{{instance}} {{uuid}}")],
            unit="none",
            no_data=no_data.FABRIC,
            texts={0: Text("joined", GOOD), 1: Text("not ready", BAD)},
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

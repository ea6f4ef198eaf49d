"""Panels about GPUs. Their metrics carry a uuid; `gpu_info` gives the index that nvidia-smi shows."""

from typing import Any

from dashboards import panels, queries
from dashboards.panels import BAD, GOOD, Query, Text
from slo import catalogue, links
from slo.catalogue import Metric

LEGEND = "{{instance}} GPU {{index}}"
_NONE = "no GPU reports"


def state() -> list[Any]:
    """Which GPUs answer, how hot they are and whether they keep their clocks."""
    return [
        panels.timeline(
            links.GPUS.title,
            "Every expected GPU of the chosen replicas' nodes over time. Lost: it fell off the bus or its driver hangs. "
            f"Source: {catalogue.GPU_UP}.",
            [Query(queries.gpus_up(), "{{instance}} {{uuid}}")],
            unit="none",
            no_data=_NONE,
            texts={1: Text("up", GOOD), 0: Text("lost", BAD)},
        ),
        per_gpu(
            "GPU temperature", "Core temperature. A hot GPU loses its clocks.", catalogue.GPU_TEMPERATURE, "celsius"
        ),
        panels.graph(
            "GPU clock, share of highest",
            "SM clock over its maximum. Below the others under the same load: heat or a power cap takes its clocks, and "
            f"time per token rises. Source: {catalogue.GPU_CLOCK}, {catalogue.GPU_CLOCK_MAX}.",
            [Query(clock_share("sm"), LEGEND)],
            unit="percentunit",
            max=1,
            no_data=_NONE,
            many=True,
            low=True,
        ),
    ]


def load() -> list[Any]:
    """Memory, power and time busy."""
    return [
        _share(
            "GPU memory used",
            "Device memory in use by processes. An engine takes its share at start: a step is a restart or a stranger.",
            catalogue.GPU_MEMORY_USED,
            catalogue.GPU_MEMORY_TOTAL,
        ),
        _share(
            "GPU power, share of limit",
            "Board power over its enforced limit. At the limit the clocks give way.",
            catalogue.GPU_POWER,
            catalogue.GPU_POWER_LIMIT,
        ),
        per_gpu(
            "GPU busy",
            "Share of time with at least one kernel running: near 100 % for healthy and drowning engines alike. Useful only "
            "when it is low; never a scaling signal.",
            catalogue.GPU_BUSY,
            "percentunit",
            max=1,
        ),
    ]


def per_gpu(title: str, description: str, metric: Metric, unit: str, **look: Any) -> Any:
    """One number of each GPU, worst first."""
    return panels.graph(
        title,
        f"{description} Source: {metric}.",
        [Query(queries.per_gpu(metric.name), LEGEND)],
        unit=unit,
        no_data=_NONE,
        many=True,
        **look,
    )


def clock_share(domain: str) -> str:
    """A clock over the highest that it could have."""
    now, highest = (queries.select(metric, domain=domain) for metric in (catalogue.GPU_CLOCK, catalogue.GPU_CLOCK_MAX))
    return queries.per_gpu(f"{now} / {highest}")


def _share(title: str, description: str, part: Metric, whole: Metric) -> Any:
    return panels.graph(
        title,
        f"{description} Source: {part}, {whole}.",
        [Query(queries.per_gpu(f"{part} / {whole}"), LEGEND)],
        unit="percentunit",
        max=1,
        no_data=_NONE,
        many=True,
    )

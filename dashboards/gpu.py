"""The GPU node dashboard: health, throttling, utilization, memory, interconnect and energy of the chosen replicas' GPUs."""

from typing import Any

from plimsoll.dashboards import common, drilldown, gpu_panels, no_data, panels, queries
from plimsoll.dashboards.panels import BAD, BLUE, GOOD, GREEN, GREY, ORANGE, SKY, VERMILLION, WARN, Query, Section, Text
from plimsoll.slo import links, metrics
from plimsoll.slo.metrics import Metric, recorded
from plimsoll.slo.spec.objectives import Spec

# Faults of a GPU, worst first: the rank, and the metrics that are above zero while it lasts.
_FAULTS = (
    (2, (metrics.GPU_RECOVERY_ACTION, metrics.GPU_REMAP_FAILED, metrics.GPU_SRAM_THRESHOLD_EXCEEDED)),
    (2, (metrics.GPU_MEMORY_UNREPAIRABLE,)),
    (1, (metrics.GPU_REMAP_PENDING, metrics.GPU_RETIRED_PENDING, metrics.GPU_REPAIR_PENDING)),
)
_COMPONENTS = {
    "weights": BLUE,
    "kv_cache": SKY,
    "engine": GREEN,
    "other": VERMILLION,
    "unattributed": ORANGE,
    "driver": GREY,
}


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the GPU nodes' dashboard."""
    return panels.dashboard(
        links.GPU,
        "Plimsoll / GPU node",
        "GPUs of the chosen replicas, and those not assigned to a known replica.",
        variables=common.scope(spec),
        annotations=common.annotations(),
        links=common.LINKS,
        default_links=[drilldown.to_dashboard("Replica dashboard", links.REPLICA)],
        sections=[
            Section("", [(4, [*common.health_stats(), common.simulated_stat()])]),
            Section("Health", [(8, [_health(), _xid()]), (9, gpu_panels.state()), (8, gpu_panels.not_readable())]),
            Section("Throttling", [(9, [_throttling(), *_margins()])]),
            Section("Utilization", [(9, gpu_panels.load()), (9, _activity())]),
            Section("Memory", [(9, _memory())]),
            Section("Interconnect", [(9, _interconnect())]),
            Section("Energy efficiency", [(9, _energy())]),
        ],
    )


def _health() -> Any:
    checks = [(3, f"{queries.select(metrics.GPU_UP)} == bool 0", metrics.GPU_UP)]
    checks += [(rank, f"{queries.select(metric)} > bool 0", metric) for rank, faults in _FAULTS for metric in faults]
    ranked = " or ".join(f'label_replace({rank} * ({test}), "check", "{name}", "", "")' for rank, test, name in checks)
    return panels.timeline(
        links.GPU_HEALTH.title,
        "Worst state that each GPU and its driver report. Action required: the driver requests a reset or reboot, or the memory "
        "can't be repaired. Reset pending: a repair takes effect at the next reset. "
        f"Source: {', '.join(metric.name for _, _, metric in checks)}.",
        [Query(f"max by (instance, uuid) ({queries.of_gpus(f'({ranked})')})", "{{instance}} {{uuid}}")],
        unit="none",
        no_data=no_data.GPU,
        texts={
            3: Text("lost", BAD),
            2: Text("action required", BAD),
            1: Text("reset pending", WARN),
            0: Text("healthy", GOOD),
        },
    )


def _xid() -> Any:
    age = f"time() - {queries.of_gpus(queries.select(metrics.GPU_XID_LAST))}"
    return panels.graph(
        links.GPU_XIDS.title,
        "Time since the driver last reported an error with this XID code. A drop to zero is a new one. 79: off the bus. "
        f"48, 63, 64, 94, 95: memory. 13, 31: usually the application. Source: {metrics.GPU_XID_LAST}.",
        [Query(f"min by (instance, uuid, xid) ({age})", "XID {{xid}} {{instance}} {{uuid}}")],
        unit="s",
        no_data=no_data.XID,
        many=True,
        low=True,
    )


def _throttling() -> Any:
    limited = f"rate({queries.select(metrics.GPU_CLOCK_LIMITED_SECONDS)}[$__rate_interval])"
    return panels.graph(
        links.GPU_CLOCKS.title,
        "Fraction of time for which a reason limited the clocks, of each node's most affected GPU. Thermal and power reasons "
        f"cost throughput; idle doesn't. Reasons overlap: don't add them. Source: {metrics.GPU_CLOCK_LIMITED_SECONDS}.",
        [Query(f"max by (instance, reason) ({queries.of_gpus(limited)})", "{{reason}} {{instance}}")],
        unit="percentunit",
        no_data=no_data.GPU,
        many=True,
    )


def _margins() -> list[Any]:
    margin, memory = metrics.GPU_TEMPERATURE_MARGIN, metrics.GPU_MEMORY_TEMPERATURE
    return [
        gpu_panels.per_gpu(
            "Thermal margin", "Degrees below the thermal limit. At zero, clocks drop.", margin, "celsius", low=True
        ),
        gpu_panels.per_gpu(
            "GPU memory temperature", "Temperature of the HBM, often above the core's.", memory, "celsius"
        ),
    ]


def _activity() -> list[Any]:
    since = "mean since the last scrape"
    return [
        gpu_panels.per_gpu("SM activity", f"Fraction of SMs with work, {since}.", metrics.GPU_SM_ACTIVE, "percentunit"),
        gpu_panels.per_gpu(
            "Tensor core activity",
            f"Fraction of cycles, {since}. High in prefill, low in decode.",
            metrics.GPU_TENSOR_ACTIVE,
            "percentunit",
        ),
        gpu_panels.per_gpu(
            "DRAM bandwidth utilization",
            f"Fraction of peak, {since}. High in decode, which it limits.",
            metrics.GPU_DRAM_BANDWIDTH,
            "percentunit",
        ),
    ]


def _memory() -> list[Any]:
    reserved = "Memory that no process can use. Older tools count it as used."
    by_component = f"sum by (component) ({queries.of_gpus(queries.select(metrics.GPU_MEMORY_USAGE))})"
    return [
        panels.graph(
            "GPU memory by component",
            "Memory of the shown GPUs: weights and KV cache of the replicas, engine (both, where the engine doesn't report them "
            f"separately), other processes, memory not attributed to a process, and the driver. Source: {metrics.GPU_MEMORY_USAGE}.",
            [Query(by_component, "{{component}}")],
            colors=_COMPONENTS,
            unit="bytes",
            stack=True,
            fill=30,
            no_data=no_data.GPU,
            many=True,
        ),
        gpu_panels.per_gpu(
            "GPU memory free",
            "Memory not in use. Near zero is normal while an engine runs.",
            metrics.GPU_MEMORY_FREE,
            "bytes",
            low=True,
        ),
        gpu_panels.per_gpu("GPU memory reserved by the driver", reserved, metrics.GPU_MEMORY_RESERVED, "bytes"),
    ]


def _interconnect() -> list[Any]:
    links_up = queries.select(metrics.GPU_NVLINK_UP)
    down = f"count by (instance, uuid) ({queries.of_gpus(f'{links_up} == 0')})"
    none = f"0 * count by (instance, uuid) ({queries.of_gpus(links_up)})"
    return [
        panels.graph(
            links.GPU_NVLINKS.title,
            f"Inactive NVLinks per GPU. Tensor parallelism slows down or stops. Source: {metrics.GPU_NVLINK_UP}.",
            [Query(f"{down} or {none}", "{{instance}} {{uuid}}")],
            unit="short",
            decimals=0,
            no_data=no_data.NVLINK,
            many=True,
        ),
        _errors(
            "NVLink errors",
            "Errors per second, by kind. A sustained rate: a faulty link or cable.",
            metrics.GPU_NVLINK_ERRORS,
            ", kind",
        ),
        _errors(
            "PCIe replays",
            "Retransmitted packets per second. A sustained rate: a faulty link or riser.",
            metrics.GPU_PCIE_REPLAYS,
        ),
    ]


def _errors(title: str, description: str, counter: Metric, kind: str = "") -> Any:
    rate = queries.of_gpus(f"rate({queries.select(counter)}[$__rate_interval])")
    return panels.graph(
        title,
        f"{description} Source: {counter}.",
        [Query(f"sum by (instance, uuid{kind}) ({rate})", "{{instance}} {{uuid}}" + (" {{kind}}" if kind else ""))],
        unit="suffix: /s",
        no_data=no_data.GPU,
        many=True,
    )


def _energy() -> list[Any]:
    joules = queries.rate(metrics.GPU_ENERGY, "instance")
    tokens = queries.rate(metrics.GENERATION_TOKENS, "instance")
    return [
        gpu_panels.per_gpu("GPU power", "Power draw of the board.", metrics.GPU_POWER, "watt"),
        panels.graph(
            "Power by model",
            "Power of the GPUs of each model's replicas. A GPU that replicas share counts by their shares; no data while a share is "
            f"unknown. Source: {recorded.MODEL_POWER}.",
            [Query(f"sum by (model) ({queries.of_models(recorded.MODEL_POWER)})", "{{model}}")],
            unit="watt",
            no_data=no_data.GPU,
            many=True,
        ),
        panels.graph(
            "Energy per output token",
            "Energy of a node's GPUs per output token of its chosen replicas. Lower with larger batches. "
            f"Source: {metrics.GPU_ENERGY}, {metrics.GENERATION_TOKENS}.",
            [Query(queries.ratio(joules, tokens), "{{instance}}")],
            unit="joule",
            no_data=no_data.TOKENS,
            many=True,
        ),
    ]

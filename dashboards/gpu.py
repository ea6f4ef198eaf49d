"""The GPUs behind the chosen replicas: are they well, do they keep their clocks, where is their memory and their energy."""

from typing import Any

from plimsoll.dashboards import common, drilldown, gpu_panels, panels, queries
from plimsoll.dashboards.panels import BAD, BLUE, GOOD, GREEN, GREY, ORANGE, SKY, VERMILLION, WARN, Query, Section, Text
from plimsoll.slo import links
from plimsoll.slo import metrics as catalogue
from plimsoll.slo.metrics import Metric
from plimsoll.slo.spec.objectives import Spec

# What is wrong with a GPU, worst first: rank and the metrics that are above zero then.
_VERDICTS = (
    (2, (catalogue.GPU_RECOVERY_ACTION, catalogue.GPU_REMAP_FAILED, catalogue.GPU_SRAM_THRESHOLD_EXCEEDED)),
    (2, (catalogue.GPU_MEMORY_UNREPAIRABLE,)),
    (1, (catalogue.GPU_REMAP_PENDING, catalogue.GPU_RETIRED_PENDING, catalogue.GPU_REPAIR_PENDING)),
)
_HOLDERS = {
    "weights": BLUE,
    "kv_cache": SKY,
    "engine": GREEN,
    "other": VERMILLION,
    "unattributed": ORANGE,
    "driver": GREY,
}


def dashboard(spec: Spec) -> dict[str, Any]:
    """Build the GPU nodes' dashboard."""
    return panels.page(
        links.GPU,
        "Plimsoll: GPU node",
        "Every GPU of the chosen replicas' nodes, and of nodes whose replicas are unknown.",
        variables=common.scope(spec),
        annotations=common.annotations(),
        links=common.LINKS,
        down=[drilldown.down("The replicas on these nodes", links.REPLICA)],
        sections=[
            Section("", [(4, [*common.vital_signs(), common.reality()])]),
            Section("Are they well?", [(8, [_verdict(), _xid()]), (9, gpu_panels.state())]),
            Section("What holds them back?", [(9, [_held_down(), *_margins()])]),
            Section("What do they do?", [(9, gpu_panels.load()), (9, _work())]),
            Section("Where is the memory?", [(9, _memory())]),
            Section("Do their links hold?", [(9, _connections())]),
            Section("What does a token cost in energy?", [(9, _energy())]),
        ],
    )


def _verdict() -> Any:
    checks = [(3, f"{queries.select(catalogue.GPU_UP)} == bool 0", catalogue.GPU_UP)]
    checks += [
        (rank, f"{queries.select(metric)} > bool 0", metric) for rank, metrics in _VERDICTS for metric in metrics
    ]
    ranked = " or ".join(f'label_replace({rank} * ({test}), "check", "{name}", "", "")' for rank, test, name in checks)
    return panels.timeline(
        "Health",
        "The worst of what each GPU and its driver say. Replace or recover: the driver asks for a reset or reboot, or memory "
        "can no longer repair itself. Reset due: a repair waits for the next reset. "
        f"Source: {', '.join(metric.name for _, _, metric in checks)}.",
        [Query(f"max by (instance, uuid) ({queries.of_gpus(f'({ranked})')})", "{{instance}} {{uuid}}")],
        unit="none",
        no_data="no GPU reports",
        texts={
            3: Text("lost", BAD),
            2: Text("replace or recover", BAD),
            1: Text("reset due", WARN),
            0: Text("well", GOOD),
        },
    )


def _xid() -> Any:
    age = f"time() - {queries.of_gpus(queries.select(catalogue.GPU_XID_LAST))}"
    return panels.graph(
        "Time since an XID error",
        "An error that the driver reported, by its XID; a fall to zero is a new one. 79: off the bus; 48, 63, 64, 94, 95: "
        f"memory; 13, 31: most often the program's own. Source: {catalogue.GPU_XID_LAST}.",
        [Query(f"min by (instance, uuid, xid) ({age})", "XID {{xid}} {{instance}} {{uuid}}")],
        unit="s",
        no_data="no XID was reported",
        many=True,
        low=True,
    )


def _held_down() -> Any:
    held = f"rate({queries.select(catalogue.GPU_CLOCK_LIMITED_SECONDS)}[$__rate_interval])"
    return panels.graph(
        "Clocks held down, by reason",
        "Share of time for which a reason held the clocks of a node's most affected GPU down. Heat and power brakes cost "
        f"tokens; idle does not. Reasons overlap. Source: {catalogue.GPU_CLOCK_LIMITED_SECONDS}.",
        [Query(f"max by (instance, reason) ({queries.of_gpus(held)})", "{{reason}} {{instance}}")],
        unit="percentunit",
        no_data="no GPU reports",
        many=True,
    )


def _margins() -> list[Any]:
    margin, memory = catalogue.GPU_TEMPERATURE_MARGIN, catalogue.GPU_MEMORY_TEMPERATURE
    return [
        gpu_panels.per_gpu(
            "Degrees left to the thermal limit", "At zero the clocks give way.", margin, "celsius", low=True
        ),
        gpu_panels.per_gpu("GPU memory temperature", "The HBM stacks, often hotter than the core.", memory, "celsius"),
    ]


def _work() -> list[Any]:
    since = "mean since the last scrape"
    return [
        gpu_panels.per_gpu(
            "SMs busy", f"Share of the SMs that worked, {since}.", catalogue.GPU_SM_ACTIVE, "percentunit"
        ),
        gpu_panels.per_gpu(
            "Tensor cores", "High in prefill, low in decode.", catalogue.GPU_TENSOR_ACTIVE, "percentunit"
        ),
        gpu_panels.per_gpu(
            "Memory bandwidth", "High in decode: its true limit.", catalogue.GPU_DRAM_BANDWIDTH, "percentunit"
        ),
    ]


def _memory() -> list[Any]:
    reserved = "What no process can have; older tools count it as used."
    held = f"sum by (component) ({queries.of_gpus(queries.select(catalogue.GPU_MEMORY_USAGE))})"
    return [
        panels.graph(
            "GPU memory by component",
            "What the memory of the shown GPUs is held for, all together: weights and KV cache of the replicas; engine where it "
            f"does not tell them apart; other: a stranger's processes; unattributed: not attributed to an engine. Source: {catalogue.GPU_MEMORY_USAGE}.",
            [Query(held, "{{component}}")],
            colors=_HOLDERS,
            unit="bytes",
            stack=True,
            fill=30,
            no_data="no GPU reports",
            many=True,
        ),
        gpu_panels.per_gpu(
            "GPU memory free", "Memory that nobody holds.", catalogue.GPU_MEMORY_FREE, "bytes", low=True
        ),
        gpu_panels.per_gpu("GPU memory reserved by the driver", reserved, catalogue.GPU_MEMORY_RESERVED, "bytes"),
    ]


def _connections() -> list[Any]:
    links_up = queries.select(catalogue.GPU_NVLINK_UP)
    down = f"count by (instance, uuid) ({queries.of_gpus(f'{links_up} == 0')})"
    none = f"0 * count by (instance, uuid) ({queries.of_gpus(links_up)})"
    return [
        panels.graph(
            "NVLinks down",
            f"Links between GPUs that are not active: tensor parallelism slows or stops. Source: {catalogue.GPU_NVLINK_UP}.",
            [Query(f"{down} or {none}", "{{instance}} {{uuid}}")],
            unit="short",
            decimals=0,
            no_data="no GPU with NVLink reports",
            many=True,
        ),
        _errors("NVLink errors", "A lasting rate is a bad link or cable.", catalogue.GPU_NVLINK_ERRORS, ", kind"),
        _errors("PCIe packets sent again", "A lasting rate is a bad link or riser.", catalogue.GPU_PCIE_REPLAYS),
    ]


def _errors(title: str, description: str, counter: Metric, kind: str = "") -> Any:
    rate = queries.of_gpus(f"rate({queries.select(counter)}[$__rate_interval])")
    return panels.graph(
        title,
        f"{description} Source: {counter}.",
        [Query(f"sum by (instance, uuid{kind}) ({rate})", "{{instance}} {{uuid}}" + (" {{kind}}" if kind else ""))],
        unit="suffix: /s",
        no_data="no GPU reports",
        many=True,
    )


def _energy() -> list[Any]:
    joules = queries.rate(catalogue.GPU_ENERGY, "instance")
    tokens = queries.rate(catalogue.GENERATION_TOKENS, "instance")
    return [
        gpu_panels.per_gpu("GPU power", "What the board draws.", catalogue.GPU_POWER, "watt"),
        panels.graph(
            "Energy per generated token",
            "Energy of a node's GPUs over the tokens that its chosen replicas generated. Lower with larger batches. "
            f"Source: {catalogue.GPU_ENERGY}, {catalogue.GENERATION_TOKENS}.",
            [Query(queries.ratio(joules, tokens), "{{instance}}")],
            unit="joule",
            no_data="no token in this time",
            many=True,
        ),
    ]

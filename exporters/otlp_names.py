"""OpenTelemetry's names for Plimsoll's metrics, as data. Sources: semantic conventions 1.41, docs/gen-ai/gen-ai-metrics.md and
docs/hardware/gpu.md. Metrics without a standard name get `plimsoll.` and their own name without its unit.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric


@dataclass(frozen=True, slots=True)
class Name:
    """A metric's OpenTelemetry name and unit, its constant attributes, and whether a gauge is a sum there (`adds_up`)."""

    name: str
    unit: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    adds_up: bool = False


_GPU = {"hw.type": "gpu", "hw.vendor": "NVIDIA"}
NAMES: dict[Metric, Name] = {
    metrics.DURATION: Name("gen_ai.server.request.duration", "s"),
    metrics.TTFT: Name("gen_ai.server.time_to_first_token", "s"),
    metrics.TPOT: Name("gen_ai.server.time_per_output_token", "s"),
    metrics.GPU_BUSY: Name("hw.gpu.utilization", "1", {**_GPU, "hw.gpu.task": "general"}),
    metrics.GPU_MEMORY_USED: Name("hw.gpu.memory.usage", "By", _GPU, adds_up=True),
    metrics.GPU_MEMORY_TOTAL: Name("hw.gpu.memory.limit", "By", _GPU, adds_up=True),
    metrics.GPU_PCIE_TRANSMITTED: Name("hw.gpu.io", "By", {**_GPU, "network.io.direction": "transmit"}),
    metrics.GPU_PCIE_RECEIVED: Name("hw.gpu.io", "By", {**_GPU, "network.io.direction": "receive"}),
    metrics.GPU_POWER: Name("hw.power", "W", _GPU),
    metrics.GPU_ENERGY: Name("hw.energy", "J", _GPU),
    metrics.GPU_TEMPERATURE: Name("hw.temperature", "Cel", _GPU),
    metrics.GPU_XID_ERRORS: Name("hw.errors", "{error}", _GPU),
    metrics.GPU_CLOCK_LIMITED_SECONDS: Name("plimsoll.gpu_clock_limited_time", "s"),
    metrics.GPU_UP: Name("hw.status", "1", {**_GPU, "hw.state": "ok"}, adds_up=True),
}
# Label -> attribute. Engines don't distinguish chat from completion; the operation is named after the common use.
ATTRIBUTES: dict[str, str] = {
    "model": "gen_ai.request.model",
    "engine": "gen_ai.provider.name",
    "replica": "server.address",
    "uuid": "hw.id",
    "xid": "error.type",
}
OPERATION = {"gen_ai.operation.name": "chat"}
_UNITS = {"seconds": "s", "bytes": "By", "joules": "J", "watts": "W", "ratio": "1", "celsius": "Cel", "hertz": "Hz"}


@cache
def name_of(metric: Metric) -> Name:
    """Return a metric's OpenTelemetry name, or one derived from its own where the conventions have none."""
    if metric in NAMES:
        found = NAMES[metric]
        return Name(
            found.name,
            found.unit,
            {**found.attributes, **(OPERATION if "gen_ai." in found.name else {})},
            found.adds_up,
        )
    base = metric.name.removeprefix("plimsoll_").removesuffix("_total")
    stem, _, last = base.rpartition("_")
    return Name(f"plimsoll.{stem if last in _UNITS else base}", _UNITS.get(last, "1"))

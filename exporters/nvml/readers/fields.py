"""All field values of a GPU that have no scope, in one call of the driver."""

from typing import NamedTuple

from plimsoll.exporters.nvml.abi import Driver, Handle, field_values
from plimsoll.exporters.nvml.registry import Values, reader_per_gpu
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import Metric

# Clock-limit times (PERF_POLICY_*, CLOCKS_EVENT_REASON_*) are in nanoseconds by nvml.h; not yet verified on a real GPU.
NANO, MILLI = 1e-9, 1e-3
THRESHOLDS = ("shutdown", "slowdown", "memory_max", "gpu_max")


class Field(NamedTuple):
    """A field's number (nvml.h, NVML_FI_DEV_...), its metric and labels, and the factor to the metric's unit."""

    number: int
    metric: Metric
    labels: dict[str, str]
    scale: float = 1


def _seconds(number: int, reason: str) -> Field:
    return Field(number, c.GPU_CLOCK_LIMITED_SECONDS, {"reason": reason}, NANO)


_PCIE_ERRORS = (
    *("correctable", "naks_received", "receiver", "bad_tlp", "naks_sent"),
    *("bad_dllp", "non_fatal", "fatal", "unsupported_request", "lcrc"),
)
FIELDS = (
    Field(29, c.GPU_RETIRED_PAGES, {"error": "corrected"}),
    Field(30, c.GPU_RETIRED_PAGES, {"error": "uncorrected"}),
    Field(31, c.GPU_RETIRED_PENDING, {}),
    _seconds(74, "software_power_cap"),
    _seconds(75, "thermal"),
    _seconds(76, "sync_boost"),
    _seconds(77, "board_limit"),
    _seconds(79, "reliability"),
    Field(82, c.GPU_MEMORY_TEMPERATURE, {}),
    Field(94, c.GPU_PCIE_REPLAYS, {}),
    Field(142, c.GPU_REMAPPED_ROWS, {"error": "corrected"}),
    Field(143, c.GPU_REMAPPED_ROWS, {"error": "uncorrected"}),
    Field(144, c.GPU_REMAP_PENDING, {}),
    Field(145, c.GPU_REMAP_FAILED, {}),
    Field(169, c.GPU_PCIE_ERRORS, {"kind": "recovery"}),
    *(Field(173 + place, c.GPU_PCIE_ERRORS, {"kind": kind}) for place, kind in enumerate(_PCIE_ERRORS)),
    Field(185, c.GPU_POWER_AVERAGE, {}, MILLI),
    Field(186, c.GPU_POWER_INSTANT, {}, MILLI),
    Field(187, c.GPU_POWER_LIMIT_MIN, {}, MILLI),
    Field(188, c.GPU_POWER_LIMIT_MAX, {}, MILLI),
    Field(189, c.GPU_POWER_LIMIT_DEFAULT, {}, MILLI),
    *(
        Field(193 + place, c.GPU_TEMPERATURE_MARGIN_THRESHOLD, {"threshold": threshold})
        for place, threshold in enumerate(THRESHOLDS)
    ),
    Field(197, c.GPU_PCIE_TRANSMITTED, {}),
    Field(198, c.GPU_PCIE_RECEIVED, {}),
    Field(230, c.GPU_RECOVERY_ACTION, {}),
)
_MOVED = ("software_thermal", "hardware_thermal", "hardware_power_brake")


def fields_of(driver: Driver) -> tuple[Field, ...]:
    """Return the fields for a driver. Three fields changed their numbers, and the old numbers have a new meaning.

    NVIDIA's bindings 12.575 to 13.580.65 have them at 251, from 13.580.82 on at 269; nvidia-smi 580.65.06 asks for 251
    (seen by k8s-test-infra). Between the two, and before 575, the number is unknown: absent.
    """
    if driver >= (580, 82):
        first = 269
    elif (575, 0) <= driver <= (580, 65):
        first = 251
    else:
        return FIELDS
    return (*FIELDS, *(_seconds(first + place, reason) for place, reason in enumerate(_MOVED)))


@reader_per_gpu
class Fields:
    """Reads the fields of one GPU."""

    def __init__(self, driver: Driver) -> None:
        self._fields = fields_of(driver)
        self._numbers = tuple((field.number, 0) for field in self._fields)

    def __call__(self, handle: Handle) -> Values:
        """Yield every field that this GPU has."""
        for field, value in zip(self._fields, field_values(handle, self._numbers), strict=True):
            # Boards without the sensor report a memory temperature of 0.
            if value is not None and (value or field.metric is not c.GPU_MEMORY_TEMPERATURE):
                yield field.metric, field.labels, value * field.scale

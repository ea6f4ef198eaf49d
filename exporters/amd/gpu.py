"""One AMD GPU read through AMD SMI: its identity, and its values under the same names and units as an NVIDIA GPU's.

Source of names and units: amd_smi/amdsmi.h and the binding of ROCm 7.0. XGMI links are exported as the NVLink metrics are; the
engine clock (GFX) is the domain `sm`. Values of all ones, or "N/A", are absent.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import amdsmi

from plimsoll.exporters.nvml.bounds import bounds
from plimsoll.exporters.nvml.gpu import GpuError, Reading
from plimsoll.exporters.nvml.processes import FoundProcess
from plimsoll.exporters.nvml.registry import Value, Values
from plimsoll.slo import metrics as c

Handle = Any
MIB, MHZ, MICRO, KIB = 2**20, 1_000_000, 1e-6, 1024
# Not a failure of the GPU: not supported, not implemented, no permission, no data (amdsmi_status_t).
ABSENT = frozenset({2, 3, 10, 40})
_NO_PERMISSION, _NVML_NO_PERMISSION = 10, 4
_CLOCKS = {"sm": "GFX", "memory": "MEM"}
_TEMPERATURES = {c.GPU_TEMPERATURE: "HOTSPOT", c.GPU_MEMORY_TEMPERATURE: "VRAM"}
_LIMITED = {
    "software_power_cap": ("active_ppt_pwr",),
    "hardware_thermal": ("active_socket_thrm", "active_vr_thrm", "active_hbm_thrm"),
    "hardware_power_brake": ("active_prochot_thrm",),
}


def number(value: object) -> float | None:
    """Return a value, or None for "N/A" and all ones of 16, 32 or 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return None if value in (2**16 - 1, 2**32 - 1, 2**64 - 1) else float(value)


def _some(metric: c.Metric, value: object, scale: float = 1, **labels: str) -> Values:
    found = number(value)
    if found is not None:
        yield metric, labels, found * scale


def memory(handle: Handle) -> Values:
    """Yield the device memory."""
    usage = amdsmi.amdsmi_get_gpu_vram_usage(handle)
    total, used = number(usage["vram_total"]), number(usage["vram_used"])
    if total and used is not None:
        yield c.GPU_MEMORY_TOTAL, {}, total * MIB
        yield c.GPU_MEMORY_USED, {}, used * MIB
        yield c.GPU_MEMORY_FREE, {}, (total - used) * MIB


def activity(handle: Handle) -> Values:
    """Yield the fractions of time in which the engines computed, and in which the memory was read or written."""
    found = amdsmi.amdsmi_get_gpu_activity(handle)
    for metric, name in ((c.GPU_BUSY, "gfx_activity"), (c.GPU_MEMORY_BUSY, "umc_activity")):
        percent = number(found[name])
        if percent is not None:
            yield metric, {}, percent / 100


def power(handle: Handle) -> Values:
    """Yield the power: current where the GPU reports it (MI300), otherwise its average."""
    found = amdsmi.amdsmi_get_power_info(handle)
    now, average = number(found["current_socket_power"]), number(found["average_socket_power"])
    yield from _some(c.GPU_POWER, now or average)


def power_limits(handle: Handle) -> Values:
    """Yield the power limits, which the library reports in microwatts."""
    found = amdsmi.amdsmi_get_power_cap_info(handle)
    yield from _some(c.GPU_POWER_LIMIT, found["power_cap"], MICRO)
    yield from _some(c.GPU_POWER_LIMIT_DEFAULT, found["default_power_cap"], MICRO)
    yield from _some(c.GPU_POWER_LIMIT_MIN, found["min_power_cap"], MICRO)
    yield from _some(c.GPU_POWER_LIMIT_MAX, found["max_power_cap"], MICRO)


def energy(handle: Handle) -> Values:
    """Yield the energy since the driver was loaded: a counter times its resolution in microjoules."""
    found = amdsmi.amdsmi_get_energy_count(handle)
    yield from _some(c.GPU_ENERGY, found["energy_accumulator"], found["counter_resolution"] * MICRO)


def temperature(metric: c.Metric, sensor: str) -> Callable[[Handle], Values]:
    """Return the reader of one sensor."""

    def read(handle: Handle) -> Values:
        kind = getattr(amdsmi.AmdSmiTemperatureType, sensor)
        yield from _some(metric, amdsmi.amdsmi_get_temp_metric(handle, kind, amdsmi.AmdSmiTemperatureMetric.CURRENT))

    return read


def clock(domain: str, kind: str) -> Callable[[Handle], Values]:
    """Return the reader of one clock."""

    def read(handle: Handle) -> Values:
        found = amdsmi.amdsmi_get_clock_info(handle, getattr(amdsmi.AmdSmiClkType, kind))
        yield from _some(c.GPU_CLOCK, found["clk"], MHZ, domain=domain)
        yield from _some(c.GPU_CLOCK_MAX, found["max_clk"], MHZ, domain=domain)

    return read


def throttling(handle: Handle) -> Values:
    """Yield the reasons that limit the clocks now."""
    found = amdsmi.amdsmi_get_violation_status(handle)
    for reason, names in _LIMITED.items():
        known = [found[name] for name in names if isinstance(found[name], bool | int)]
        if known:
            yield c.GPU_CLOCK_LIMITED, {"reason": reason}, int(any(known))


def ecc(handle: Handle) -> Values:
    """Yield the memory errors since the driver was loaded."""
    found = amdsmi.amdsmi_get_gpu_total_ecc_count(handle)
    yield from _some(c.GPU_ECC_ERRORS, found["correctable_count"], error="corrected")
    yield from _some(c.GPU_ECC_ERRORS, found["uncorrectable_count"], error="uncorrected")


def bad_pages(handle: Handle) -> Values:
    """Yield the retired memory pages, and whether some are retired at the next reset (RAS)."""
    pages = amdsmi.amdsmi_get_gpu_bad_page_info(handle)
    pending = amdsmi.AmdSmiMemoryPageStatus.PENDING
    yield c.GPU_RETIRED_PAGES, {"error": "uncorrected"}, len(pages)
    yield c.GPU_RETIRED_PENDING, {}, int(any(page["status"] == pending for page in pages))


def pcie(handle: Handle) -> Values:
    """Yield the PCIe link: its lanes, and the packets sent again."""
    found = amdsmi.amdsmi_get_pcie_info(handle)
    yield from _some(c.GPU_PCIE_WIDTH, found["pcie_metric"]["pcie_width"])
    yield from _some(c.GPU_PCIE_WIDTH_MAX, found["pcie_static"]["max_pcie_width"])
    yield from _some(c.GPU_PCIE_REPLAYS, found["pcie_metric"]["pcie_replay_count"])


def xgmi(handle: Handle) -> Values:
    """Yield whether each enabled XGMI link is up."""
    for link, state in enumerate(amdsmi.amdsmi_get_gpu_xgmi_link_status(handle)["status"]):
        if state in ("U", "D"):
            yield c.GPU_NVLINK_UP, {"link": str(link)}, int(state == "U")


def xgmi_bytes(handle: Handle) -> Values:
    """Yield the bytes of all XGMI links."""
    found = amdsmi.amdsmi_get_link_metrics(handle)
    links = found["links"][: found["num_links"]]
    if links:
        yield c.GPU_NVLINK_TRANSMITTED, {}, sum(link["write"] for link in links) * KIB
        yield c.GPU_NVLINK_RECEIVED, {}, sum(link["read"] for link in links) * KIB


READERS = (
    *(memory, activity, power, power_limits, energy, throttling, ecc, bad_pages, pcie, xgmi, xgmi_bytes),
    *(temperature(metric, sensor) for metric, sensor in _TEMPERATURES.items()),
    *(clock(domain, kind) for domain, kind in _CLOCKS.items()),
)


class AmdGpu:
    """The GPU with one handle of the initialized library. Not thread-safe."""

    def __init__(self, index: int, handle: Handle) -> None:
        self.index = index
        self.info: dict[str, str] = {}
        self._handle = handle
        self._rejected: Counter[str] = Counter()

    def read(self, _deadline: float) -> Reading:
        """Read every value; raises GpuError if the GPU can't be identified, or if nothing could be read."""
        try:
            self.info = self.info or self._identify()
        except amdsmi.AmdSmiLibraryException as error:
            raise _gpu_error(error) from None
        values: list[Value] = []
        failure: amdsmi.AmdSmiLibraryException | None = None
        for read in READERS:
            try:
                values.extend(read(self._handle))
            except amdsmi.AmdSmiLibraryException as error:
                if error.get_error_code() not in ABSENT or failure is None:
                    failure = error
        if failure is not None and not values:
            raise _gpu_error(failure)
        processes = self._processes(values)
        return Reading(self.info, self._possible(values), processes, dict(self._rejected))

    def _identify(self) -> dict[str, str]:
        return {
            "uuid": amdsmi.amdsmi_get_gpu_device_uuid(self._handle),
            "index": str(self.index),
            "name": str(amdsmi.amdsmi_get_gpu_asic_info(self._handle)["market_name"]),
            "pci_bus_id": str(amdsmi.amdsmi_get_gpu_device_bdf(self._handle)),
            "driver_version": str(amdsmi.amdsmi_get_gpu_driver_info(self._handle)["driver_version"]),
            "cuda_version": "",
            "vendor": "amd",
        }

    def _processes(self, values: list[Value]) -> list[FoundProcess] | None:
        try:
            found = amdsmi.amdsmi_get_gpu_process_list(self._handle)
        except amdsmi.AmdSmiLibraryException:
            return None
        values.append((c.GPU_PROCESSES, {}, len(found)))
        return [FoundProcess(one["pid"], one["memory_usage"]["vram_mem"], None, None) for one in found]

    def _possible(self, values: list[Value]) -> list[Value]:
        possible = [one for one in values if bounds[one[0].name][0] <= one[2] <= bounds[one[0].name][1]]
        self._rejected.update(one[0].name for one in values if one not in possible)
        return possible


def _gpu_error(error: amdsmi.AmdSmiLibraryException) -> GpuError:
    code = _NVML_NO_PERMISSION if error.get_error_code() == _NO_PERMISSION else 0
    return GpuError(code, str(error.get_error_info(detailed=False)))

"""The kernel's view of the node's GPUs: which the driver has, and which the PCI bus has."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

PLACEHOLDER = "unknown@"  # prefix of a PCI address that stands for an unknown UUID
# One folder per GPU, named by its PCI address. A container sees its own GPUs only.
FOLDER = Path("/proc/driver/nvidia/gpus")
BUS = Path("/sys/bus/pci/devices")
DRIVER = "nvidia"
_UUID = re.compile(r"GPU UUID:\s*(GPU-[0-9a-f-]{36})\s*$", re.MULTILINE)  # question marks until a process opens the GPU
_MODEL = re.compile(r"Model:\s*(.+?)\s*$", re.MULTILINE)


def pci_address(bus_id: str) -> str:
    """Normalize NVML's 00000000:21:00.0 and the kernel's 0000:21:00.0 to one form."""
    return bus_id.lower()[-12:]


class Inventory:
    """Reads the folders of the driver and of the PCI bus. What can't be read is unknown, and raises nothing."""

    def __init__(self, folder: Path = FOLDER, bus: Path = BUS, driver: str = DRIVER) -> None:
        self._folder = folder
        self._bus = bus
        self._driver = driver

    def addresses(self) -> frozenset[str]:
        """Return the PCI addresses (see pci_address) of the GPUs that the driver has; empty if unknown."""
        with suppress(OSError):
            return frozenset(pci_address(place.name) for place in self._folder.iterdir())
        return frozenset()

    def unbound(self, bus_id: str) -> bool:
        """Return whether the device is on the bus, but not the vendor's driver's: given to a virtual machine, for example."""
        place = self._bus / pci_address(bus_id)
        with suppress(OSError):
            return place.is_dir() and (place / "driver").resolve().name != self._driver
        return False

    def others(self, known: set[str]) -> Iterator[dict[str, str]]:
        """Yield gpu_info labels of the GPUs whose PCI address isn't in `known`.

        NVML has no UUID of a GPU that hung before the exporter started. Where the kernel has none either, the PCI address
        replaces it.
        """
        with suppress(OSError):
            for place in sorted(self._folder.iterdir()):
                if pci_address(place.name) in known:
                    continue
                information = (place / "information").read_text(errors="replace")
                uuid, model = _UUID.search(information), _MODEL.search(information)
                yield {
                    "uuid": uuid[1] if uuid else PLACEHOLDER + place.name,
                    "name": model[1] if model else "",
                    "pci_bus_id": place.name,
                    "vendor": "nvidia",
                }

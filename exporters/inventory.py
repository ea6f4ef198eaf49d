"""The GPUs that the kernel's driver holds, by its files in /proc: they can be read while NVML hangs."""

import re
from collections.abc import Iterator
from pathlib import Path

from exporters.nvml_memory import PLACEHOLDER, pci_address

# One folder per GPU, named by its PCI address. A container sees those that it was given.
FOLDER = Path("/proc/driver/nvidia/gpus")
_UUID = re.compile(
    r"GPU UUID:\s*(GPU-[0-9a-f-]{36})\s*$", re.MULTILINE
)  # question marks while nobody has opened the GPU
_MODEL = re.compile(r"Model:\s*(.+?)\s*$", re.MULTILINE)


def unknown_gpus(folder: Path, known: set[str]) -> Iterator[dict[str, str]]:
    """Labels of gpu_info of the GPUs in `folder` whose PCI address (see pci_address) is not known; raises OSError.

    A GPU that hangs since before the exporter's start never told its UUID to NVML. Where the kernel does not know it
    either, its PCI address stands in for it.
    """
    for place in sorted(folder.iterdir()):
        if pci_address(place.name) in known:
            continue
        told = (place / "information").read_text(errors="replace")
        uuid, model = _UUID.search(told), _MODEL.search(told)
        yield {
            "uuid": uuid[1] if uuid else PLACEHOLDER + place.name,
            "name": model[1] if model else "",
            "pci_bus_id": place.name,
        }

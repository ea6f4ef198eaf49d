"""A node's GPUs without GPUs: a compiled libnvidia-ml.so.1 that the unmodified binding loads, driven from a test.

    fake = FakeNvml(tmp_path)                       # eight H100
    subprocess.Popen([...], env=fake.env)           # whatever reads NVML there sees them
    fake.set(2, power_mw=650_000); fake.lose(5); fake.wedge(6); fake.restore(5)
    fake.field(3, 230, 1); fake.xid(5, 79); fake.crash(); fake.upgrade()

The state is a file that both processes map, so every change is seen at once.
"""

import ctypes
import hashlib
import mmap
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from fakenvml.layout import EVENTS, Event, Field, Ratio, Slice, State

SOURCE = Path(__file__).with_name("fakenvml.c")
CACHE = Path(__file__).resolve().parents[3] / ".cache" / "fakenvml"
XID_EVENT = 8
GPU_IS_LOST = 15
NOT_SUPPORTED = 3
CALLS = (
    "handle",
    "uuid",
    "name",
    "pci",
    "memory_v2",
    "memory",
    "utilization",
    "power",
    "power_limit",
    "energy",
    "temperature",
    "clock",
    "clock_max",
    "field_values",
    "clock_reasons",
    "ecc",
    "sram",
    "margin",
    "threshold",
    "pcie",
    "link_state",
    "link_errors",
    "fabric",
    "mig_mode",
    "bar1",
    "state",
    "persistence",
    "process_list",
    "remap_room",
    "gpm",
    "event_types",
    "board",
    "fans",
    "compute_mode",
    "gsp",
    "repair",
    "unrepairable",
    "ecc_mode",
    "mps",
    "process_use",
    "samples",
)
# An H100 SXM under load; fields are those of Device, clocks in NVML's order graphics, sm, memory, video.
H100 = {
    "name": "NVIDIA H100 80GB HBM3",
    "memory_total": 85_520_809_984,
    "memory_reserved": 602_931_200,
    "memory_used": 70_000_000_000,
    "energy_mj": 123_456_789_012,
    "busy_percent": 91,
    "power_mw": 612_345,
    "power_limit_mw": 700_000,
    "temperature_c": 61,
    "clock_mhz": (1755, 1755, 2619, 1395),
    "clock_max_mhz": (1980, 1980, 2619, 1545),
    "memory_busy_percent": 57,
    "margin_c": 26,
    "threshold_c": (92, 89, 95, 87),
    "pcie": (5, 5, 16, 16),
    "remap_room": (639, 1, 0, 0, 0),
    "fabric_version": 3,
    "fabric_state": 3,
    "fabric_health": 1,
    "persistence": 1,
    "gsp_enabled": 1,
    "gsp_version": "580.82.07",
    "serial": "1652923000001",
    "vbios": "96.00.74.00.01",
    "inforom": "G520.0200.00.05",
    "bar1_used": 3 * 2**20,
    "event_types": 0x181E,
    "ecc_mode": (1, 1),
    "links_up": 2**18 - 1,
    "gpm_supported": 1,
}
# Field values by id and scope; a tuple names the member of the value's union, else it is an unsigned 64-bit number.
UNSIGNED, LONG_LONG, SIGNED = 1, 3, 5
ALL_LINKS = 0xFFFFFFFF
H100_FIELDS: dict[tuple[int, int], int | tuple[int, int]] = {
    **{(number, 0): 0 for number in (76, 77, 79, 142, 143, 169, 173, 174, 175, 176, 177, 178, 179, 180, 181, 182)},
    **{(number, 0): (0, UNSIGNED) for number in (94, 144, 145, 230)},
    (74, 0): 1_500_000_000,
    (75, 0): 250_000_000,
    (82, 0): (72, UNSIGNED),
    (91, 0): (18, UNSIGNED),
    (138, ALL_LINKS): 2048,
    (139, ALL_LINKS): 4096,
    (185, 0): (610_000, UNSIGNED),
    (186, 0): (655_000, UNSIGNED),
    (187, 0): (200_000, UNSIGNED),
    (188, 0): (700_000, UNSIGNED),
    (189, 0): (700_000, UNSIGNED),
    (193, 0): (-8, SIGNED),
    (194, 0): (-2, SIGNED),
    (195, 0): (0, SIGNED),
    (196, 0): (0, SIGNED),
    (197, 0): 10_000_000_000,
    (198, 0): 20_000_000_000,
    (269, 0): 3_000_000_000,
    (270, 0): 4_000_000_000,
    (271, 0): 5_000_000_000,
}
H100_RATIOS = {1: 95.0, 2: 88.0, 3: 41.0, 5: 36.5, 10: 64.25}  # GPM, in percent


def compile_library(without: Sequence[str] = (), generation: int = 1) -> Path:
    """Compile the fake once per source, set of missing symbols (an old driver's) and generation; returns its path."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc is not installed; Debian has it in the package gcc")
    key = hashlib.sha256(SOURCE.read_bytes() + repr((sorted(without), generation)).encode()).hexdigest()[:16]
    library = CACHE / key / "libnvidia-ml.so.1"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        draft = library.with_suffix(f".{os.getpid()}")
        renamed = [f"-D{symbol}=absent_{symbol}" for symbol in without]
        flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden"]
        flags.append(f"-DGENERATION={generation}")
        command = [compiler, *flags, "-Wl,-soname,libnvidia-ml.so.1", *renamed, "-o", str(draft), str(SOURCE)]
        subprocess.run(command, check=True)
        draft.replace(library)
    return library


class FakeNvml:
    """The GPUs of one node, as NVML reports them. `folder` stores the state; `without` names symbols an old driver lacks."""

    def __init__(self, folder: Path, count: int = 8, without: Sequence[str] = ()) -> None:
        built = compile_library(without)
        self.folder = folder / "driver"
        self.folder.mkdir()
        self.library = Path(shutil.copy(built, self.folder))
        self.path = folder / "nvml.state"
        self.path.write_bytes(bytes(ctypes.sizeof(State)))
        with self.path.open("r+b") as file:
            self.state = State.from_buffer(mmap.mmap(file.fileno(), 0))
        self.state.cuda_version = 13000
        self.state.driver_version = b"580.82.07"
        self.state.generation = 1
        for index in range(count):
            uuid, bus_id = f"GPU-00000000-0000-0000-0000-{index:012d}", f"00000000:{index * 16 + 1:02X}:00.0"
            self.set(index, present=1, uuid=uuid, bus_id=bus_id, **H100)
            for (number, scope), value in H100_FIELDS.items():
                number_value, type_ = value if isinstance(value, tuple) else (value, LONG_LONG)
                self.field(index, number, number_value, type_, scope)
            for number, percent in H100_RATIOS.items():
                self.ratio(index, number, percent)

    @property
    def env(self) -> dict[str, str]:
        """This process's environment, with the fake in it: for a subprocess."""
        return os.environ | self.variables

    @property
    def variables(self) -> dict[str, str]:
        """What a process's environment needs to meet the fake."""
        folders = filter(None, (str(self.folder), os.environ.get("LD_LIBRARY_PATH")))
        return {"LD_LIBRARY_PATH": ":".join(folders), "FAKE_NVML_STATE": str(self.path)}

    def uuid(self, index: int) -> str:
        """The UUID of a GPU."""
        text: bytes = self.state.devices[index].uuid
        return text.decode()

    def set(self, index: int, **values: object) -> None:
        """Change fields of a GPU (names as in Device), seen by its reader's next call."""
        device = self.state.devices[index]
        for name, value in values.items():
            setattr(device, name, value.encode() if isinstance(value, str) else value)

    def fail(self, index: int, call: str, code: int = NOT_SUPPORTED) -> None:
        """Make one call (a name of CALLS) on a GPU return `code`; 0 heals it."""
        self.state.devices[index].codes[CALLS.index(call)] = code

    def field(self, index: int, number: int, value: int, type_: int = LONG_LONG, scope: int = 0, code: int = 0) -> None:
        """Set a field value by NVML's number, or the code that it returns."""
        device = self.state.devices[index]
        places = [
            k for k in range(device.field_count) if (device.fields[k].id, device.fields[k].scope) == (number, scope)
        ]
        place = places[0] if places else device.field_count
        mask = 2**64 - 1 if type_ == LONG_LONG else 2**32 - 1
        device.fields[place] = Field(number, scope, code, type_, value & mask)
        device.field_count = max(device.field_count, place + 1)

    def ratio(self, index: int, number: int, percent: float, code: int = 0) -> None:
        """Set a GPM metric, or the code that it returns."""
        device = self.state.devices[index]
        places = [k for k in range(device.ratio_count) if device.ratios[k].id == number]
        place = places[0] if places else device.ratio_count
        device.ratios[place] = Ratio(number, code, percent)
        device.ratio_count = max(device.ratio_count, place + 1)

    def asked(self, index: int, call: str) -> int:
        """How often a call (a name of CALLS) was made on a GPU."""
        return int(self.state.devices[index].asked[CALLS.index(call)])

    def run(self, index: int, *processes: tuple[int, ...]) -> None:
        """Let processes, as (pid, bytes) or (pid, bytes, MIG's GPU instance, SM percent), be all that runs on a GPU."""
        device = self.state.devices[index]
        for place, (pid, size, *rest) in enumerate(processes):
            device.pids[place], device.process_memory[place] = pid, size
            device.process_instances[place], device.process_sm[place] = (*rest, 0, 0)[:2]
        device.process_count = len(processes)

    def slice(self, index: int, place: int, uuid: str, name: str, instance: int, memory: tuple[int, int]) -> None:
        """Switch MIG on and put an instance, with its memory in all and in use, at a place."""
        device = self.state.devices[index]
        device.slices[place] = Slice(instance, 0, *memory, uuid.encode(), name.encode())
        device.slice_count = max(device.slice_count, place + 1)
        device.mig_mode = device.mig_pending = 1

    def xid(self, index: int, number: int, type_: int = XID_EVENT) -> None:
        """Report an event, an XID by default, on a GPU."""
        self.state.events[self.state.event_count % EVENTS] = Event(index, 0, type_, number)
        self.state.event_count += 1

    def lose(self, index: int, code: int = GPU_IS_LOST) -> None:
        """Make every call on a GPU return `code`."""
        self.set(index, code=code)

    def wedge(self, index: int) -> None:
        """Make every call on a GPU hang until it is restored."""
        self.set(index, wedged=1)

    def restore(self, index: int) -> None:
        """Let a GPU answer again."""
        self.set(index, code=0, wedged=0)

    def remove(self, index: int) -> None:
        """Take a GPU out of the list that the next init makes."""
        self.set(index, present=0)

    def restart_driver(self, version: str) -> None:
        """Void every initialization and handle, as a driver that was unloaded and loaded again does."""
        self.state.driver_version = version.encode()
        self.state.epoch += 1

    def upgrade(self, version: str) -> None:
        """Replace kernel module and library, as a driver's upgrade does under the processes that have the old one loaded."""
        draft = Path(shutil.copy(compile_library(generation=2), self.folder / "draft"))
        draft.replace(self.library)
        self.state.generation = 2
        self.restart_driver(version)

"""AMD GPUs without GPUs: a compiled libamd_smi.so that AMD's unmodified binding loads, driven from a test.

    fake = FakeAmdSmi(tmp_path, 8)                     # eight MI300X
    fake.set(2, "amdsmi_get_gpu_vram_usage", vram_total=196_592, vram_used=1_000)
    fake.fail(3, "amdsmi_get_gpu_activity", 12)

The binding's own structures are the answers, so a test of another version of it needs no other fake.
"""

import ctypes
import hashlib
import importlib.util
import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("fakeamdsmi.c")
CACHE = Path(__file__).resolve().parents[3] / ".cache" / "fakeamdsmi"
DEVICES, CALLS, BYTES = 8, 32, 8192
_NUMBERED = re.compile(r"^(?:ONE|SELECTED)\((\d+), (\w+)\)$", re.MULTILINE)
_OTHERS = {
    "amdsmi_get_gpu_device_uuid": 13,
    "amdsmi_get_temp_metric": 14,
    "amdsmi_get_energy_count": 15,
    "amdsmi_get_gpu_bad_page_info": 16,
    "amdsmi_get_gpu_process_list": 17,
}
NUMBERS = {name: int(number) for number, name in _NUMBERED.findall(SOURCE.read_text())} | _OTHERS
TYPES = {
    "amdsmi_get_gpu_device_bdf": "amdsmi_bdf_t",
    "amdsmi_get_gpu_asic_info": "amdsmi_asic_info_t",
    "amdsmi_get_gpu_driver_info": "amdsmi_driver_info_t",
    "amdsmi_get_gpu_vram_usage": "amdsmi_vram_usage_t",
    "amdsmi_get_gpu_activity": "amdsmi_engine_usage_t",
    "amdsmi_get_power_info": "amdsmi_power_info_t",
    "amdsmi_get_power_cap_info": "amdsmi_power_cap_info_t",
    "amdsmi_get_gpu_total_ecc_count": "amdsmi_error_count_t",
    "amdsmi_get_violation_status": "amdsmi_violation_status_t",
}
GFX, MEM = 0, 4  # AMDSMI_CLK_TYPE_...
HOTSPOT, VRAM = 1, 2  # AMDSMI_TEMPERATURE_TYPE_...


class Answer(ctypes.Structure):
    """Twin of the C struct of that name."""

    _fields_ = (("code", ctypes.c_int32), ("size", ctypes.c_uint32), ("bytes", ctypes.c_ubyte * BYTES))


class State(ctypes.Structure):
    """Twin of the C struct of that name."""

    _fields_ = (("init_code", ctypes.c_int32), ("count", ctypes.c_uint32), ("answers", Answer * CALLS * DEVICES))


def binding_file() -> Path:
    """The binding's wrapper, found without importing it: that would load the library."""
    found = importlib.util.find_spec("amdsmi")
    if found is None or found.origin is None:
        pytest.skip("amdsmi is not installed: pip install 'plimsoll-slo[amd]'")
    return Path(found.origin).with_name("amdsmi_wrapper.py")


def compile_library() -> Path:
    """Compile the fake once per source and binding; returns its path."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("cc is not installed; Debian has it in the package gcc")
    wrapper = binding_file()
    text = wrapper.read_text()
    wanted = set(re.findall(r"_libraries\['libamd_smi.so'\]\.(\w+)", text))
    known = set(re.findall(r"API int (amdsmi_\w+)\(", SOURCE.read_text())) | set(NUMBERS)
    stubs = " ".join(f"STUB({name})" for name in sorted(wanted - known))
    key = hashlib.sha256(SOURCE.read_bytes() + stubs.encode()).hexdigest()[:16]
    library = CACHE / key / "libamd_smi.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        draft = library.with_suffix(f".{os.getpid()}")
        flags = ["-shared", "-fPIC", "-O1", "-Wall", "-fvisibility=hidden", f"-DSTUBS={stubs}", "-DPROCESS_BYTES=704"]
        subprocess.run([compiler, *flags, "-o", str(draft), str(SOURCE)], check=True)
        draft.replace(library)
    return library


class FakeAmdSmi:
    """The AMD GPUs of one node. `folder` stores the state."""

    def __init__(self, folder: Path, count: int = 2) -> None:
        self.library = compile_library()
        self.path = folder / "amdsmi.state"
        self.path.write_bytes(bytes(ctypes.sizeof(State)))
        with self.path.open("r+b") as file:
            self.state = State.from_buffer(mmap.mmap(file.fileno(), 0))
        self.state.count = count
        self.types = self._types()
        for index in range(count):
            for answer in self.state.answers[index]:
                answer.code = 2
            self._mi300x(index)

    @property
    def variables(self) -> dict[str, str]:
        """What a process's environment needs to meet the fake."""
        return {
            "LD_LIBRARY_PATH": str(self.library.parent),
            "FAKE_AMDSMI_STATE": str(self.path),
            "ROCM_PATH": "/nonexistent",
        }

    def uuid(self, index: int) -> str:
        """The UUID of a GPU."""
        return f"a8ff74a1-0000-1000-8000-{index:012d}"

    def raw(self, index: int, call: str, data: bytes, size: int | None = None) -> None:
        """Let a call answer these bytes; `size` is that of one of several answers."""
        answer = self.state.answers[index][NUMBERS[call]]
        answer.code, answer.size = 0, len(data) if size is None else size
        ctypes.memmove(answer.bytes, data, len(data))

    def set(self, index: int, call: str, **values: Any) -> None:
        """Let a call answer a structure with these fields; others are 0."""
        self.raw(index, call, bytes(self.struct(TYPES[call], **values)))

    def struct(self, kind: str, **values: Any) -> ctypes.Structure:
        """Make one of the binding's structures."""
        made: ctypes.Structure = getattr(self.types, kind)()
        for name, value in values.items():
            setattr(made, name, value)
        return made

    def fail(self, index: int, call: str, code: int) -> None:
        """Make one call return a code (amdsmi_status_t)."""
        self.state.answers[index][NUMBERS[call]].code = code

    def lose(self, index: int, code: int = 12) -> None:
        """Make every call return a code."""
        for answer in self.state.answers[index]:
            answer.code = code

    def clocks(self, index: int, **clocks: tuple[int, int]) -> None:
        """Set current and highest clock in MHz, as gfx=(2100, 2100), mem=(1300, 1300)."""
        kinds = {GFX: clocks["gfx"], MEM: clocks["mem"]}
        answers = [
            self.struct("amdsmi_clk_info_t", clk=kinds.get(kind, (0, 0))[0], max_clk=kinds.get(kind, (0, 0))[1])
            for kind in range(MEM + 1)
        ]
        self.raw(index, "amdsmi_get_clock_info", b"".join(map(bytes, answers)), ctypes.sizeof(answers[0]))

    def _mi300x(self, index: int) -> None:
        bdf = (index << 8) << 3 | 0xC1 << 8
        self.raw(index, "amdsmi_get_gpu_device_bdf", struct.pack("<Q", bdf | index << 3))
        self.raw(index, "amdsmi_get_gpu_device_uuid", self.uuid(index).encode() + b"\0")
        asic = {"market_name": b"AMD Instinct MI300X", "asic_serial": b"0x1A2B", "vendor_name": b"AMD"}
        self.set(index, "amdsmi_get_gpu_asic_info", **asic)
        self.set(index, "amdsmi_get_gpu_driver_info", driver_version=b"6.14.14", driver_name=b"amdgpu")
        self.set(index, "amdsmi_get_gpu_vram_usage", vram_total=196_592, vram_used=150_000)
        self.set(index, "amdsmi_get_gpu_activity", gfx_activity=93, umc_activity=41, mm_activity=0xFFFF)
        self.set(index, "amdsmi_get_power_info", current_socket_power=691, average_socket_power=0xFFFF, power_limit=750)
        caps = {"power_cap": 750_000_000, "default_power_cap": 750_000_000, "max_power_cap": 750_000_000}
        self.set(index, "amdsmi_get_power_cap_info", **caps)
        self.state.answers[index][NUMBERS["amdsmi_get_power_cap_info"]].size = ctypes.sizeof(
            self.types.amdsmi_power_cap_info_t
        )
        self.clocks(index, gfx=(2086, 2100), mem=(1300, 1300))
        self.set(index, "amdsmi_get_gpu_total_ecc_count", correctable_count=3, uncorrectable_count=0)
        temperatures = {HOTSPOT: 71, VRAM: 58}
        self.raw(
            index, "amdsmi_get_temp_metric", b"".join(struct.pack("<q", temperatures.get(n, 0)) for n in range(3)), 8
        )
        self.raw(index, "amdsmi_get_energy_count", struct.pack("<Qf4x", 1_000_000_000, 15.259))
        links = self.struct("amdsmi_xgmi_link_status_t", total_links=8)
        for link, up in enumerate((2, 1, 1, 1, 1, 1, 1, 1)):  # the first one is the GPU itself: disabled
            links.status[link] = up
        self.raw(index, "amdsmi_get_gpu_xgmi_link_status", bytes(links))
        pcie = self.struct("amdsmi_pcie_info_t")
        pcie.pcie_static.max_pcie_width, pcie.pcie_metric.pcie_width = 16, 16
        pcie.pcie_metric.pcie_replay_count = 5
        self.raw(index, "amdsmi_get_pcie_info", bytes(pcie))
        self.set(index, "amdsmi_get_violation_status", active_ppt_pwr=1, active_prochot_thrm=0xFF)
        self.raw(index, "amdsmi_get_gpu_bad_page_info", b"", 0)
        self.raw(index, "amdsmi_get_gpu_process_list", b"", 0)

    def _types(self) -> types.ModuleType:
        """The binding's structures, on a copy of its module that has this library."""
        spec = importlib.util.spec_from_file_location("fakeamdsmi_types", binding_file())
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        before, os.environ["ROCM_PATH"] = os.environ.get("ROCM_PATH"), str(self.library.parent)
        real, ctypes.CDLL = ctypes.CDLL, lambda *_: ctypes.PyDLL(str(self.library))  # type: ignore[misc, assignment]
        try:
            sys.modules.pop("fakeamdsmi_types", None)
            spec.loader.exec_module(module)
        finally:
            ctypes.CDLL = real  # type: ignore[misc]
            os.environ.pop("ROCM_PATH")
            if before is not None:
                os.environ["ROCM_PATH"] = before
        return module

"""All GPUs of a node through NVIDIA's binding; a lost or hung one doesn't block the others."""

import queue
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Any, Protocol

import pynvml

from plimsoll.exporters.deadline import DeadlineCall, DeadlineExceeded
from plimsoll.exporters.nvml.abi import optional_text
from plimsoll.exporters.nvml.errors import LIBRARY_UNUSABLE, describe_init, init_reason, name
from plimsoll.exporters.nvml.gpu import Gpu, GpuError, Reading
from plimsoll.exporters.nvml.xids.events import OnXid
from plimsoll.slo.metrics import Metric

# The result for one GPU: index, info, and either values and processes, or trouble (and `stuck`, the seconds it hangs, or `unasked`
# if the time didn't suffice to ask it).
# `series` has the names and labels of `values`, in order; it is sent only when they change.
Report = dict[str, Any]
# Concurrent threads contend for the interpreter at every driver call, which costs four times the work. So one thread reads
# all GPUs, and another starts when no GPU has been read for this long (seconds).
STALL_SECONDS = 0.02


class LibraryUnusableError(Exception):
    """Every handle is invalid, and this process can't get new ones because it has the old library loaded.

    `cause` is a label value of the restarts, `advice` one line, and `reason` a label value of gpu_not_readable.
    """

    def __init__(self, cause: str, advice: str, reason: str) -> None:
        super().__init__(advice)
        self.cause, self.advice, self.reason = cause, advice, reason


class ReadableGpu(Protocol):
    """One GPU of a library."""

    index: int
    info: dict[str, str]

    def read(self, deadline: float) -> Reading:
        """Read every value; raises GpuError."""


def _unusable(code: int) -> LibraryUnusableError:
    return LibraryUnusableError(name(code), describe_init(code), init_reason(code))


def nvidia_gpus(on_xid: OnXid) -> list[Gpu]:
    """Start the library and return the GPUs that it lists; raises LibraryUnusableError."""
    try:
        pynvml.nvmlInit()
        system = {"driver_version": _driver_version(), "cuda_version": _cuda_version()}
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError as error:
        raise _unusable(error.value) from None
    return [Gpu(index, system, on_xid) for index in range(count)]


class Node:
    """All GPUs of one library."""

    def __init__(self, gpus: Sequence[ReadableGpu]) -> None:
        self._gpus = gpus
        self._calls: dict[int, DeadlineCall[Reading]] = {}
        # What the last report had, by index: UUID, metrics, labels; and the values.
        self._series: dict[int, tuple[str, tuple[Metric, ...], tuple[dict[str, str], ...]]] = {}
        self._values: dict[int, tuple[float, ...]] = {}

    def read(self, until: float) -> list[Report]:
        """Return a report per GPU by `until` (time.monotonic() seconds); raises LibraryUnusableError. It doesn't wait again for a hung GPU."""
        free = [gpu for gpu in self._gpus if gpu.index not in self._calls or self._calls[gpu.index].ended is not None]
        self._calls |= {gpu.index: DeadlineCall(gpu.read, until) for gpu in free}
        unstarted = _run_calls([self._calls[gpu.index] for gpu in free], until)
        reports = [self._report(gpu, self._calls[gpu.index]) for gpu in self._gpus]
        for report, gpu in zip(reports, self._gpus, strict=True):
            if self._calls[gpu.index] in unstarted:
                report["unasked"] = True
        self._calls = {index: call for index, call in self._calls.items() if call not in unstarted}
        return reports

    def _report(self, gpu: ReadableGpu, call: DeadlineCall[Reading]) -> Report:
        """Return a report with what changed since the last one: the series, or else the values of some, by their place."""
        report = _outcome(gpu, call)
        if "values" in report:
            metrics, labels, values = zip(*report["values"], strict=True) if report["values"] else ((), (), ())
            last, series = self._values.get(gpu.index, ()), (report["info"]["uuid"], metrics, labels)
            if series != self._series.get(gpu.index):
                self._series[gpu.index], last = series, ()
                report["series"] = [(metric.name, own) for metric, own in zip(metrics, labels, strict=True)]
            self._values[gpu.index] = values
            pairs = enumerate(zip_longest(values, last))
            report["values"] = [(place, value) for place, (value, before) in pairs if value != before]
        return report


def _run_calls(calls: list[DeadlineCall[Reading]], until: float) -> list[DeadlineCall[Reading]]:
    """Run the calls, sequentially while they end quickly, until all have ended or `until`.

    Returns the calls that didn't start, because the threads were busy with hung GPUs.
    """
    waiting: queue.SimpleQueue[DeadlineCall[Reading]] = queue.SimpleQueue()
    ended: queue.SimpleQueue[None] = queue.SimpleQueue()
    for call in calls:
        waiting.put(call)

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                waiting.get_nowait().run()
                ended.put(None)

    left, stalled = len(calls), True
    while left and (now := time.monotonic()) < until:
        if stalled and not waiting.empty():
            threading.Thread(target=work, name="GPUs", daemon=True).start()
        try:
            ended.get(timeout=until - now if waiting.empty() else min(STALL_SECONDS, until - now))
            left, stalled = left - 1, False
        except queue.Empty:
            stalled = True
    unstarted = []
    with suppress(queue.Empty):
        while True:
            unstarted.append(waiting.get_nowait())
    return unstarted


def _outcome(gpu: ReadableGpu, call: DeadlineCall[Reading]) -> Report:
    report: Report = {"index": gpu.index, "info": gpu.info}
    try:
        reading = call.result(0)
    except DeadlineExceeded:
        return report | {"trouble": "isn't responding", "stuck": call.seconds}
    except GpuError as error:
        if error.code in LIBRARY_UNUSABLE:
            raise _unusable(error.code) from None
        return report | {"trouble": f"isn't responding: {error}", "code": error.code}
    except Exception as error:  # a bug met on one GPU must not lose the others
        return report | {"trouble": f"isn't readable: {type(error).__name__}: {error}"}
    return report | reading._asdict()


def _driver_version() -> str:
    return optional_text(pynvml.nvmlSystemGetDriverVersion)


def _cuda_version() -> str:
    """Return the driver's maximum CUDA version: NVML's 13020 is 13.2."""
    number = optional_text(pynvml.nvmlSystemGetCudaDriverVersion)
    return f"{int(number) // 1000}.{int(number) % 1000 // 10}" if number else ""

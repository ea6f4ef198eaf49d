"""The process that loads the driver library: `python -m plimsoll.exporters.nvml.child`, started by the exporter.

If the library crashes, hangs, or is replaced by a driver upgrade, only this process is affected. It reads one deadline
(time.monotonic(), shared by all processes) per line, and writes one line of JSON for each: {"gpus": [...]}, or finally
{"dead": [NVML's code name, advice, reason]}. In between it reports XIDs as {"xid": [uuid, number, unix time]}. It exits when its input ends.
"""

import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import plimsoll.exporters.nvml.binding  # noqa: F401 - before pynvml
from plimsoll.exporters.gc_tuning import freeze_objects, limit_memory
from plimsoll.exporters.nvml.node import LibraryUnusableError, Node, ReadableGpu, nvidia_gpus
from plimsoll.exporters.nvml.xids.events import OnXid

Start = Callable[[OnXid], Sequence[ReadableGpu]]


class Channel:
    """Writes whole lines, from any thread."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Write a message."""
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()

    def xid(self, uuid: str, number: int, at: float) -> None:
        """Report an XID."""
        self.send({"xid": [uuid, number, at]})


def work(start: Start, deadlines: "queue.Queue[float]", channel: Channel) -> None:
    """Start the library and serve requests; returns when the library is unusable."""
    try:
        node = Node(start(channel.xid))
        while True:
            channel.send({"gpus": node.read(deadlines.get())})
    except LibraryUnusableError as error:
        channel.send({"dead": [error.cause, error.advice, error.reason]})


def main(start: Start) -> None:
    """Serve the GPUs of `start` until the input ends. Another thread calls the driver: this one must notice when the exporter exits."""
    limit_memory()
    freeze_objects()
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C in a terminal reaches both processes; the exporter ends this one
    channel = Channel(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # the library's own output must not mix with the messages
    deadlines: queue.Queue[float] = queue.Queue()

    def run() -> None:
        try:
            work(start, deadlines, channel)
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)  # the module `traceback` would need memory, always
        os._exit(1)  # don't wait for threads stuck in the driver

    threading.Thread(target=run, name="NVML", daemon=True).start()
    for line in sys.stdin:
        deadlines.put(float(line))
    os._exit(0)


if __name__ == "__main__":
    main(nvidia_gpus)

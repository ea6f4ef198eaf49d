"""The process that has the driver's library in it: `python -m plimsoll.exporters.nvml.child`, a part of the exporter.

A library that crashes, hangs, or was replaced by a driver's upgrade takes this process along and not the exporter. It reads a
deadline (time.monotonic(), which all processes share) per line and answers each with one line of JSON: {"gpus": [...]}, or
{"dead": [NVML's name for it, advice]} as its last word. XIDs are told in between, as {"xid": [uuid, number, unix time]}. It ends with its input.
"""

import json
import os
import queue
import signal
import sys
import threading
import traceback
from typing import Any, BinaryIO

from plimsoll.exporters.gc_tuning import freeze_objects, limit_memory
from plimsoll.exporters.nvml.errors import describe_init, name
from plimsoll.exporters.nvml.node import LibraryUnusableError, Node


class Channel:
    """Writes whole lines, from any thread."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Write a message; nobody is left to tell if that fails."""
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()

    def xid(self, uuid: str, number: int, at: float) -> None:
        """Tell of an XID."""
        self.send({"xid": [uuid, number, at]})


def work(deadlines: "queue.Queue[float]", channel: Channel) -> None:
    """Start the library and answer; returns when the library is of no more use."""
    try:
        node = Node(channel.xid)
        while True:
            channel.send({"gpus": node.read(deadlines.get())})
    except LibraryUnusableError as error:
        channel.send({"dead": [name(error.code), describe_init(error.code)]})


def main() -> None:
    """Answer until the input ends. The driver's calls are made elsewhere: this thread must see that the exporter is gone."""
    limit_memory()
    freeze_objects()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches both; the exporter ends this one
    channel = Channel(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # whatever the library prints must not stand between our lines
    deadlines: queue.Queue[float] = queue.Queue()

    def run() -> None:
        try:
            work(deadlines, channel)
        except BaseException:
            traceback.print_exc()
        os._exit(1)  # threads may be stuck in the driver: nothing here waits for them

    threading.Thread(target=run, name="NVML", daemon=True).start()
    for line in sys.stdin:
        deadlines.put(float(line))
    os._exit(0)


if __name__ == "__main__":
    main()

"""Reads the objectives file again: at SIGHUP, and when it has changed. A faulty one is reported, and the objectives before it stay."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from plimsoll.compose.inputs import DEFAULT_OBJECTIVES, UserError, read_objectives
from plimsoll.exporters.collector import Point
from plimsoll.slo import metrics

if TYPE_CHECKING:
    from plimsoll.slo.spec.objectives import Spec

LOOK_SECONDS = 5.0
logger = logging.getLogger("plimsoll")


class ObjectivesFile:
    """An objectives file that was read, and is read again. As a collector it exports how that went."""

    name = "objectives"
    fallback: Iterable[Point] = ()

    def __init__(self, path: str | None, apply: Callable[["Spec"], object] = id) -> None:
        """`path` is of a file that was just read without an error (None: the bundled file); `apply` puts new objectives into use."""
        self._path, self._apply = path, apply
        self._file = DEFAULT_OBJECTIVES if path is None else Path(path)
        self.path = None if path is None else str(self._file.resolve())  # the bundled file isn't to be written
        self._seen = self._signature()
        self._asked = threading.Event()
        self.successful, self.succeeded_at = True, time.time()

    def start(self) -> None:
        """Follow the file and SIGHUP; to be called by the main thread."""
        signal.signal(signal.SIGHUP, lambda *_: self._asked.set())
        threading.Thread(target=self._run, name="objectives", daemon=True).start()

    def _run(self) -> None:
        while True:
            asked = self._asked.wait(LOOK_SECONDS)
            self._asked.clear()
            if asked or self._signature() != self._seen:
                self.reload()

    def reload(self) -> None:
        """Read the file, and use it unless it is faulty."""
        self._seen = self._signature()  # before it is read: a later change is seen at the next look
        try:
            self._apply(read_objectives(self._path))
        except UserError as error:
            self.successful = False
            logger.error("objectives not reloaded: %s The objectives before are still used.", error)
        except Exception:
            self.successful = False
            logger.exception("objectives not reloaded. Reload them with SIGHUP, or restart.")
        else:
            self.successful, self.succeeded_at = True, time.time()
            logger.info("objectives reloaded from %s", self._file)

    def collect(self, deadline: float) -> Iterable[Point]:
        """Return whether the last attempt succeeded, and when one did."""
        yield Point(metrics.RELOAD_SUCCESSFUL, {}, float(self.successful))
        yield Point(metrics.RELOAD_SUCCESS_TIME, {}, self.succeeded_at)

    def _signature(self) -> tuple[int, ...] | None:
        """Return what differs once the file was written or replaced, also as the target of a link (a ConfigMap)."""
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

"""A small fact that outlives the exporter: JSON in a file of the state folder, written whole or not at all."""

import contextlib
import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

from plimsoll.exporters.log_once import OnceLogger

_once = OnceLogger(logging.getLogger(__name__))


class StateFile:
    """One fact under a name. Without a folder, or where it cannot be read or written, nothing is kept; trouble is said once."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._path = folder / f"{quote(name, safe='')}.json" if folder else None
        self._last = ""

    def read(self) -> Any:
        """Return what was kept, or None."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads(self._path.read_text(encoding="utf-8")) if self._path else None
        return None

    def write(self, fact: Any) -> None:
        """Keep a fact in place of the one before, if it is another."""
        if self._path is None:
            return
        text = json.dumps(fact)
        if text == self._last:
            return
        draft = self._path.with_suffix(".new")
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(self._path)
            self._last = text
            _once.recovered(str(self._path))
        except OSError as error:
            _once.failed(str(self._path), f"cannot be written: {error.strerror}; check --state-dir")

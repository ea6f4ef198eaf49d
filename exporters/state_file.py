"""Small JSON state that survives a restart: one file per name in the state folder, replaced atomically."""

import contextlib
import json
import logging
from pathlib import Path
from typing import Any
from urllib.parse import quote

from plimsoll.exporters.log_once import OnceLogger
from plimsoll.slo import strict_json

_once = OnceLogger(logging.getLogger(__name__))


class StateFile:
    """One JSON value under a name. Without a folder nothing is stored; an unreadable file reads as None; a failed write is logged once."""

    def __init__(self, folder: Path | None, name: str) -> None:
        self._path = folder / f"{quote(name, safe='')}.json" if folder else None
        self._last = ""

    def read(self) -> Any:
        """Return the stored value, or None."""
        with contextlib.suppress(OSError, ValueError):
            return strict_json.load(self._path.read_text(encoding="utf-8")) if self._path else None
        return None

    def write(self, fact: Any) -> None:
        """Store a value if it differs from the last one written."""
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
            _once.failed(str(self._path), f"not writable: {error.strerror}. Check --state-dir.")

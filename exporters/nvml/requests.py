"""Requests of `plimsoll gpus` to a running exporter, as files in its state folder: forget a GPU, or let go of all for a while."""

import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

FORGET, PAUSE, RELEASED = "gpus.forget.", "gpus.pause", "gpus.released"


class Requests:
    """The request files, for both sides. Without a folder there are none."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def forget(self, uuid: str) -> None:
        """Ask the exporter to forget a GPU, now or at its next start; raises OSError."""
        if self._folder:
            (self._folder / f"{FORGET}{quote(uuid, safe='')}").touch()

    def take_forgotten(self) -> list[str]:
        """Return the GPUs to forget, and remove the requests: a file each, so that none is lost between two processes."""
        found = []
        for path in self._folder.glob(f"{FORGET}*") if self._folder else ():
            with suppress(OSError):
                path.unlink()
                found.append(unquote(path.name.removeprefix(FORGET)))
        return found

    def pause(self, until: float) -> None:
        """Ask the exporter to let go of the GPUs until that Unix time; raises OSError."""
        self._write(PAUSE, repr(until))

    def resume(self) -> None:
        """End a pause; raises OSError."""
        for name in (PAUSE, RELEASED):
            if self._folder:
                (self._folder / name).unlink(missing_ok=True)

    def paused_until(self) -> float | None:
        """Return the Unix time until which the exporter is asked to pause; None if it isn't, or no longer."""
        with suppress(OSError, ValueError):
            if self._folder is not None and (self._folder / PAUSE).exists():
                until = float((self._folder / PAUSE).read_text(encoding="utf-8"))
                if time.time() < until:
                    return until
                self.resume()
        return None

    def release(self) -> None:
        """State that the exporter has let go of the GPUs."""
        with suppress(OSError):
            if not self.released():
                self._write(RELEASED, "")

    def released(self) -> bool:
        """Return whether the exporter has let go of the GPUs for this pause."""
        with suppress(OSError):
            return self._folder is not None and self._newer(RELEASED, PAUSE)
        return False

    def _newer(self, one: str, other: str) -> bool:
        times = [(self._folder / name).stat().st_mtime_ns for name in (one, other)] if self._folder else [0, 1]
        return times[0] >= times[1]

    def _write(self, name: str, text: str) -> None:
        if self._folder:
            draft = self._folder / f"{name}.new"
            draft.write_text(text, encoding="utf-8")
            draft.replace(self._folder / name)

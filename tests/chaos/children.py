"""Processes of a chaos run: started, killed, stopped, woken, and ended with the run, however it ends."""

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import httpx


def until(condition: Callable[[], object], seconds: float, every: float = 0.2) -> bool:
    """Poll until the condition holds; returns whether it did within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


def answers(url: str) -> bool:
    """Whether an address answers 200."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _end_with_parent() -> None:
    """Ask the kernel for SIGKILL when the parent's thread ends (prctl(2), PR_SET_PDEATHSIG): start children in the main thread."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Child:
    """One program with its log. `ready` is the URL that answers 200 once it is up; without one it is up when it runs."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        folder: Path,
        ready: str = "",
        env: Mapping[str, str] | None = None,
        user: int | None = None,
    ) -> None:
        self.name, self.ready = name, ready
        self._argv, self._env, self._user, self._folder = [str(one) for one in argv], env, user, folder
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, if it doesn't run; `is_ready` says when it is up."""
        if self.running():
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._argv,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self._folder,
                env={**os.environ, **(self._env or {})},
                user=self._user,
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - it only calls prctl
            )

    def running(self) -> bool:
        """Whether the process exists, stopped or not."""
        return self.process is not None and self.process.poll() is None

    def is_ready(self) -> bool:
        """Whether it is up and says so."""
        return self.running() and (not self.ready or answers(self.ready))

    def send(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM, patience: float = 20) -> None:
        """Send a signal and wait for the end; SIGKILL once patience is over. A stopped process is woken for it."""
        if self.process is None:
            return
        self.send(number)
        if number != signal.SIGKILL:
            self.send(signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.send(signal.SIGKILL)
        self.process.wait()

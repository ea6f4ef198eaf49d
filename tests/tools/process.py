"""Our own commands as processes, for tests: started on loopback, watched, ended, or killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from stack import wait_for

PLIMSOLL = [sys.executable, "-P", "-m", "plimsoll.compose.cli"]


class Command:
    """A running `plimsoll` command and its log; as a context manager it ends with the block."""

    def __init__(
        self, log: Path, *arguments: str, ready: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        """`ready` is the URL that answers 200 once the command is up."""
        self.log, self._arguments, self._ready, self._env, self._cwd = log, arguments, ready, env, cwd
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 60) -> None:
        """Start, and return once `ready` answers 200."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [*PLIMSOLL, *self._arguments], stdout=output, stderr=output, env=self._env, cwd=self._cwd
            )
        wait_for(self._is_ready, f"`plimsoll {self._arguments[0]}` to answer at {self._ready}", seconds)

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(self._ready, timeout=2, trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        self.end(signal.SIGKILL)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(30)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end()


def rejected(arguments: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run a command with bad input: expect exit status 2 and one line on stderr, and return the line."""
    done = subprocess.run(
        [*PLIMSOLL, *arguments], capture_output=True, text=True, env=env, cwd=cwd, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, ""), (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def environment(**more: str) -> dict[str, str]:
    """This process' environment with some variables set."""
    return {**os.environ, **more}

"""Real servers of other projects on loopback: each in a virtual environment of its own, from a lock file; started, awaited, ended."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import httpx

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plimsoll"


class Unavailable(Exception):
    """The server is not available; the message states why."""


def installed(name: str, recipe: bytes, install: Callable[[Path], None]) -> Path:
    """Folder in the cache that `install` filled, once per machine, recipe and version of Python; raises Unavailable."""
    root = CACHE / f"{name}-{hashlib.sha256(recipe + sys.version.encode()).hexdigest()[:12]}"
    root.parent.mkdir(parents=True, exist_ok=True)
    with (root.parent / f"{root.name}.lock").open("w") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        if not (root / "complete").exists():
            shutil.rmtree(root, ignore_errors=True)
            print(f"Preparing {name} for the tests in {root} (once; some minutes)", flush=True)
            install(root)
            (root / "complete").touch()
    return root


def pip(root: Path, *arguments: str | Path) -> None:
    """Install into a folder, which becomes a virtual environment; raises Unavailable."""
    if not (root / "bin/python").exists():
        run([sys.executable, "-m", "venv", root])
    run([root / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments])


def run(command: Sequence[str | Path]) -> None:
    """Run a command of an installation; raises Unavailable."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")]
        raise Unavailable(f"`{' '.join(map(str, command[:6]))} …` failed: {' '.join(errors[-2:])}")


@contextlib.contextmanager
def serving(
    command: Sequence[str | Path], health: str, log: Path, environment: Mapping[str, str], seconds: float = 500
) -> Iterator[int]:
    """Start a server, wait until `health` answers 200, and end it with all its children. Gives its process's id."""
    with log.open("wb") as written:
        process = subprocess.Popen(
            command,
            stdout=written,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            cwd=log.parent,
            start_new_session=True,
        )
    try:
        _wait(health, log, process, seconds)
        yield process.pid
    finally:
        _end(process)


def _wait(health: str, log: Path, process: subprocess.Popen[bytes], seconds: float) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(health, trust_env=False).status_code == 200:
                return
        time.sleep(0.2)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
    raise RuntimeError(f"{health} did not become healthy (exit code {process.poll()}):\n{tail}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()

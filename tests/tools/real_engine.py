"""A real vLLM on CPU with a tiny random model, in its own virtual environment, with our plugin of the current tree.

Run as a script it prepares the environment (`make test` does); the fixture `engine` starts it.
"""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from paths import PACKAGES, ROOT, TESTS
from real_server import Unavailable, installed, pip, run, serving
from stack import free_port

MODEL = "meta-llama/Llama-3.3-70B-Instruct"
VERSION = "0.32.0"


@dataclass(frozen=True, slots=True)
class Installation:
    """A prepared environment: its Python and the folder of the model."""

    python: Path
    model: Path


@dataclass(frozen=True, slots=True)
class Engine:
    """A running server: its root URL, the model's served name, the log, and the process that began the others."""

    url: str
    model: str
    log: Path
    pid: int

    def kill(self, title: str) -> None:
        """Kill the one of its processes that has this title."""
        listed = subprocess.run(
            ["ps", "-s", str(self.pid), "-o", "pid=,args="], capture_output=True, text=True, check=True
        )
        (found,) = [line.split()[0] for line in listed.stdout.splitlines() if line.endswith(title)]
        os.kill(int(found), signal.SIGKILL)

    def metrics(self) -> str:
        """The server's own metrics page."""
        return httpx.get(f"{self.url}/metrics", trust_env=False).raise_for_status().text


def versions() -> list[str]:
    """Versions that there is a lock file for."""
    return sorted(
        path.name.removeprefix("engine-").removesuffix(".lock") for path in (TESTS / "tools").glob("engine-*.lock")
    )


@functools.cache
def prepare(version: str = VERSION) -> Installation:
    """Install vLLM for CPU once per machine, version and lock file (minutes; later at once); raises Unavailable."""
    lock, model = TESTS / "tools" / f"engine-{version}.lock", TESTS / "tools" / "tiny_model.py"

    def install(root: Path) -> None:
        """Torch first, with what it asks for on this platform; the rest is pinned whole, without vLLM's audio and image parts."""
        pip(root, "-c", lock, next(line for line in lock.read_text().splitlines() if line.startswith("torch==")))
        pip(root, "--no-deps", "-r", lock)
        run([root / "bin/python", model, root / "model"])

    root = installed(f"engine-{version}", lock.read_bytes() + model.read_bytes(), install)
    return Installation(root / "bin/python", root / "model")


@contextlib.contextmanager
def start(
    version: str = VERSION,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    objectives: Path | None = None,
    *,
    sequences: int = 16,
    servers: int = 1,
    ranks: int = 1,
) -> Iterator[Engine]:
    """Start a server on a free port of loopback, wait until it is healthy, and end it with all its children.

    `objectives` is the file that our plugin reads (default: the packaged one). Several `servers` are processes of their own, as are
    the engines of several data-parallel `ranks`; only vLLM's command starts them. Raises Unavailable where it cannot be installed.
    """
    installation, port, several = prepare(version), free_port(), servers > 1 or ranks > 1
    with tempfile.TemporaryDirectory(prefix="plimsoll-engine-") as folder:
        log = Path(folder) / "log"
        command: list[str | Path] = [
            *(installation.python, "-m"),
            *(("vllm.entrypoints.cli.main", "serve") if several else ("vllm.entrypoints.openai.api_server", "--model")),
            installation.model,
            *(("--api-server-count", str(servers), "--data-parallel-size", str(ranks)) if several else ()),
            *("--served-model-name", MODEL, "--host", "127.0.0.1", "--port", str(port), "--load-format", "dummy"),
            *("--max-model-len", "2048", "--max-num-seqs", str(sequences), "--enforce-eager"),
            # With bfloat16, vLLM 0.32 ends at the first request on Intel's CPUs with AMX.
            *("--dtype", "float32"),
            # A chunk for every 20 tokens: thousands a second keep server and client, both Python, busier than the engine.
            *("--stream-interval", "20", *arguments),
        ]
        settings = {
            "PYTHONPATH": os.pathsep.join((str(_plugin(Path(folder), version)), str(PACKAGES))),
            "VLLM_CPU_KVCACHE_SPACE": "2",
            # One thread: the model is tiny, and threads that wait for each other on busy cores make a step 3 times as long.
            "OMP_NUM_THREADS": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            # The worker within the engine's process: apart, both spin on what they share, and nothing is left for the server.
            "VLLM_ENABLE_V1_MULTIPROCESSING": str(int(several)),
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            **({"PLIMSOLL_OBJECTIVES": str(objectives)} if objectives else {}),
            **(environment or {}),
        }
        url = f"http://127.0.0.1:{port}"
        with serving(command, f"{url}/health", log, settings) as pid:
            yield Engine(url, MODEL, log, pid)


def _plugin(folder: Path, version: str) -> Path:
    """Make the current tree's entry points visible to the engine, without installing anything that could go stale.

    vLLM's command asks for the version of a distribution `vllm`; the one for CPUs has another name.
    """
    command = folder / "site" / f"vllm-{version}.dist-info"
    command.mkdir(parents=True)
    (command / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = folder / "site" / f"plimsoll_slo-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = project["entry-points"].items()
    lines = [line for group, points in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in points.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return info.parent


if __name__ == "__main__":
    for each in versions():
        try:
            prepare(each)
        except Unavailable as why:
            print(f"vLLM {each} is not available, so tests that need it are skipped: {why}", file=sys.stderr)

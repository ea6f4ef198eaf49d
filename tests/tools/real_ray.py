"""A real Ray Serve with two replicas of a real vLLM: Ray in an environment of its own, which finds vLLM in the engine's.

Run as a script it prepares both (`make test` does).
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import real_engine
from paths import TESTS
from real_server import Unavailable, installed, pip, serving
from stack import free_port


@dataclass(frozen=True, slots=True)
class Node:
    """A running node: the root URLs of Serve and of its agent's metrics."""

    url: str
    metrics: str


def prepare() -> Path:
    """Folder of Ray's environment; raises Unavailable."""
    lock = TESTS / "tools" / "ray.lock"
    return installed("ray", lock.read_bytes(), lambda root: pip(root, "--no-deps", "-r", lock))


@contextlib.contextmanager
def start() -> Iterator[Node]:
    """Start a node with one deployment of two replicas; raises Unavailable."""
    engine, root = real_engine.prepare(), prepare()
    (packages,) = engine.python.parent.parent.glob("lib/python*/site-packages")
    node = Node(f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}")
    ports = [url.rsplit(":", 1)[1] for url in (node.url, node.metrics)]
    environment = {
        "PYTHONPATH": str(packages),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "VLLM_CPU_KVCACHE_SPACE": "2",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with tempfile.TemporaryDirectory(prefix="plimsoll-ray-") as folder:
        command: list[str | Path] = [root / "bin/python", TESTS / "tools" / "ray_app.py"]
        command += [*ports, engine.model, real_engine.MODEL]
        with serving(command, node.url, Path(folder) / "log", {**environment, "RAY_TMPDIR": folder}):
            yield node


if __name__ == "__main__":
    try:
        prepare()
    except Unavailable as why:
        print(f"Ray is not available, so tests that need it are skipped: {why}", file=sys.stderr)

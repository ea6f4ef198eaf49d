"""A real llama.cpp server with a tiny random model: Debian's next package, unpacked beside the libraries it needs, not installed.

Run as a script it fetches them (`make test` does).
"""

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from newer import unpack
from real_server import Unavailable, installed, serving
from stack import free_port
from tiny_gguf import write

PACKAGES = ("llama.cpp-tools", "libllama0", "libggml0", "libssl3t64", "libstdc++6", "libgcc-s1", "libc6", "libgomp1", "zlib1g", "libzstd1")  # fmt: skip


def prepare() -> Path:
    """Folder with the unpacked packages; raises Unavailable."""

    def install(root: Path) -> None:
        try:
            unpack(PACKAGES, root)
        except (OSError, StopIteration, subprocess.CalledProcessError) as error:
            raise Unavailable(f"Debian's package of llama.cpp: {getattr(error, 'stderr', None) or error}") from error

    return installed("llama.cpp", "\n".join(PACKAGES).encode(), install)


@contextlib.contextmanager
def start(slots: int) -> Iterator[str]:
    """Start a server with this many places for requests; gives its root URL. Raises Unavailable."""
    root = prepare()
    (libraries,) = root.glob("usr/lib/*-linux-gnu")
    (loader,) = libraries.glob("ld-linux*.so.*")
    url, port = "http://127.0.0.1", free_port()
    with tempfile.TemporaryDirectory(prefix="plimsoll-llama-") as folder:
        model = Path(folder) / "tiny.gguf"
        write(model)
        command: list[str | Path] = [
            *(loader, "--library-path", f"{libraries}:{libraries / 'llama'}", root / "usr/bin/llama-server"),
            *(
                "--model",
                model,
                "--alias",
                "tiny",
                "--metrics",
                "--no-webui",
                "--parallel",
                str(slots),
                "--threads",
                "1",
            ),
            *("--host", "127.0.0.1", "--port", str(port)),
        ]
        # The one for any processor. Without the variable it looks beside its program, which is the loader here.
        backend = next(libraries.glob("ggml/backends*/libggml-cpu-x64.so"), None)
        if backend is None:
            raise Unavailable("Debian's package of llama.cpp has no backend for this processor")
        with serving(command, f"{url}:{port}/health", Path(folder) / "log", {"GGML_BACKEND_PATH": str(backend)}):
            yield f"{url}:{port}"


if __name__ == "__main__":
    try:
        prepare()
    except Unavailable as why:
        print(f"llama.cpp is not available, so tests that need it are skipped: {why}", file=sys.stderr)

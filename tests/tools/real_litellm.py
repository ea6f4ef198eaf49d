"""A real LiteLLM proxy with two workers before an engine, in a virtual environment of its own.

Run as a script it prepares the environment (`make test` does).
"""

import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from paths import TESTS
from real_server import Unavailable, installed, pip, serving
from stack import free_port

WORKERS = 2
KEY = "sk-plimsoll-tests-0123456789abcdef0123456789"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy: its root URL, and the file with the token that its metrics require."""

    url: str
    token: Path


def prepare() -> Path:
    """Folder of the environment; raises Unavailable."""
    lock = TESTS / "tools" / "gateway-litellm.lock"
    # Pinned whole, without what the proxy starts without: other servers, clouds' profilers, its enterprise part.
    return installed("gateway-litellm", lock.read_bytes(), lambda root: pip(root, "--no-deps", "-r", lock))


@contextlib.contextmanager
def start(models: Mapping[str, tuple[str, str]]) -> Iterator[Proxy]:
    """Start a proxy that sends each model's requests to an engine: (its root URL, the model's name there). Raises Unavailable."""
    root, port = prepare(), free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="plimsoll-litellm-") as name:
        folder = Path(name)
        (folder / "token").write_text(KEY)
        (folder / "multiprocess").mkdir()
        served = [
            {
                "model_name": alias,
                "litellm_params": {"model": f"hosted_vllm/{model}", "api_base": f"{engine}/v1", "api_key": "none"},
            }
            for alias, (engine, model) in models.items()
        ]
        settings = {
            "model_list": served,
            "litellm_settings": {"callbacks": ["prometheus"], "num_retries": 0, "telemetry": False},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
        (folder / "config.yaml").write_text(json.dumps(settings))
        command: list[str | Path] = [
            *(root / "bin/litellm", "--config", folder / "config.yaml", "--host", "127.0.0.1", "--port", str(port)),
            # A worker that imports for more than 5 s would be killed, again and again.
            *("--num_workers", str(WORKERS), "--timeout_worker_healthcheck", "300"),
        ]
        environment = {
            "LITELLM_MASTER_KEY": KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "HF_HUB_OFFLINE": "1",  # or it asks for a tokenizer, for half a minute a request
            "PROMETHEUS_MULTIPROC_DIR": str(folder / "multiprocess"),
        }
        with serving(command, f"{url}/health/liveliness", folder / "log", environment):
            yield Proxy(url, folder / "token")


if __name__ == "__main__":
    try:
        prepare()
    except Unavailable as why:
        print(f"LiteLLM is not available, so tests that need it are skipped: {why}", file=sys.stderr)

"""Engines among this machine's running containers, from the Docker API (Podman has the same): by command or image, as for processes.

A container is read at its published port on loopback, or else at its own address.
API: https://docs.docker.com/reference/api/engine/version/v1.44/#tag/Container/operation/ContainerList
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from plimsoll.exporters.discovery import DiscoveryError, Target
from plimsoll.exporters.discovery.api import get_json
from plimsoll.exporters.discovery.processes import COMMANDS, named_ports

SOCKET = "unix:///var/run/docker.sock"
# Images of the projects, whose entry point is the server, and its usual port.
IMAGES = (
    (re.compile(r"\bvllm/vllm-openai\b|\brocm/vllm\b"), 8000),
    (re.compile(r"\blmsysorg/sglang\b"), 30000),
    (re.compile(r"\btext-generation-inference\b"), 80),
    (re.compile(r"\btext-embeddings-inference\b"), 80),
    (re.compile(r"\bllama\.cpp\b.*\bserver\b"), 8080),
    (re.compile(r"\bnvcr\.io/nim/"), 8000),
    (re.compile(r"\btensorrt-llm\b"), 8000),
    (re.compile(r"\btritonserver\b"), 8002),
)


class DockerDiscovery:
    """Lists the running containers."""

    name = "docker"

    def __init__(self, root: str = SOCKET) -> None:
        self._root = root

    def find(self) -> list[Target]:
        """Return the containers that may be engines; raises DiscoveryError."""
        answer = get_json(self._root, "/containers/json")
        try:
            return [target for container in answer for target in _targets(container)]
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise DiscoveryError(
                f"{self._root}: not a list of containers ({type(error).__name__}: {error})."
            ) from error


def _targets(container: Mapping[str, Any]) -> Iterator[Target]:
    command = f"{container['Image']} {container.get('Command', '')}"
    usual = next((port for known, port in (*COMMANDS, *IMAGES) if known.search(command)), None)
    if usual is None:
        return
    port = next(iter(named_ports(command)), usual)
    name = container["Names"][0].lstrip("/")
    published = [
        one["PublicPort"] for one in container.get("Ports") or () if one["PrivatePort"] == port and "PublicPort" in one
    ]
    networks = ((container.get("NetworkSettings") or {}).get("Networks") or {}).values()
    own = next((one["IPAddress"] for one in networks if one.get("IPAddress")), "127.0.0.1")  # none: the host's network
    address = f"127.0.0.1:{published[0]}" if published else f"{own}:{port}"
    yield Target(f"http://{address}", name, certain=False, lingers=True)

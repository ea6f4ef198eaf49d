"""Engines among this machine's processes: known server commands, and the processes on GPUs and those that started them.

Of each, the port that its command line names; or else its usual ports; or else those that it listens on below the kernel's range for
outgoing connections, where its private sockets are. A server in a network namespace of its own (a container) isn't seen.
"""

import os
import re
from collections.abc import Iterator

from plimsoll.exporters.discovery import DiscoveryError, Target
from plimsoll.exporters.process_tree import Address, ProcessTree

# A server's command and its usual port, as each project documents them.
COMMANDS = (
    (re.compile(r"\bvllm(/entrypoints/cli/main\.py)?\s+serve\b|\bvllm\.entrypoints\b"), 8000),
    (re.compile(r"\bsglang\.launch_server\b|\bsglang\s+serve\b"), 30000),
    (re.compile(r"\btrtllm-serve\b"), 8000),
    (re.compile(r"\btritonserver\b"), 8002),
    (re.compile(r"\btext-generation-(router|launcher)\b"), 3000),
    (re.compile(r"\bllama-server\b"), 8080),
    (re.compile(r"\btext-embeddings-router\b"), 3000),
    (re.compile(r"\bdynamo\.(vllm|sglang|trtllm|frontend)\b"), 8000),
)
USUAL_PORTS = {port for _, port in COMMANDS}
_PORT = re.compile(r"\s--?(?:port|metrics-port)[ =](\d{1,5})\b")
OUTGOING = 32_768  # net.ipv4.ip_local_port_range begins here by default


def named_ports(command: str) -> list[int]:
    """Return the ports that a server's command line names."""
    return [int(port) for port in _PORT.findall(command)]


class ProcessDiscovery:
    """Looks through the processes of this machine."""

    name = "processes"

    def __init__(self, tree: ProcessTree | None = None) -> None:
        self._tree = tree or ProcessTree()

    def find(self) -> list[Target]:
        """Return every address that may be an engine's; raises DiscoveryError where no process can be seen."""
        commands = {pid: self._tree.command(pid) for pid in self._tree.pids()}
        if not commands:
            raise DiscoveryError("/proc: no process can be seen. Run the exporter on the node, with hostPID: true.")
        servers = {pid for pid, command in commands.items() if any(known.search(command) for known, _ in COMMANDS)}
        for pid in commands:
            if pid not in servers and self._tree.uses_gpu(pid):
                servers |= set(self._tree.lineage(pid))
        servers -= {os.getpid()}
        found = {address for pid in servers for address in self._addresses(pid, commands.get(pid, ""))}
        return [Target(f"http://{address}", certain=False, lingers=True) for address in sorted(found)]

    def _addresses(self, pid: int, command: str) -> Iterator[str]:
        listening = {address.port: address for address in self._tree.listening(pid)}
        named = set(named_ports(command)) & listening.keys()
        usual = {port for known, port in COMMANDS if known.search(command)} & listening.keys()
        for port in named or usual or {port for port in listening if port < OUTGOING}:
            yield _text(listening[port])


def _text(address: Address) -> str:
    """Write where a server is reached that listens on an address; one that listens on all is reached on loopback."""
    host = "127.0.0.1" if address.host in ("0.0.0.0", "::") else address.host  # noqa: S104 - compared with
    return f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"

"""The discoveries that a command line names."""

from collections.abc import Callable, Sequence
from pathlib import Path

from plimsoll.compose.inputs import UserError
from plimsoll.exporters.discovery import Discovery, DiscoveryError, Target
from plimsoll.exporters.discovery.docker import DockerDiscovery
from plimsoll.exporters.discovery.files import FileDiscovery
from plimsoll.exporters.discovery.kubernetes import KubernetesDiscovery
from plimsoll.exporters.discovery.processes import ProcessDiscovery
from plimsoll.exporters.discovery.watch import DiscoveredEngines
from plimsoll.exporters.engines.collector import EngineCollector

SIMPLE: dict[str, Callable[[], Discovery]] = {
    "processes": ProcessDiscovery,
    "kubernetes": KubernetesDiscovery,
    "docker": DockerDiscovery,
}


def discovered_engines(
    texts: Sequence[str], named: Sequence[EngineCollector], state: Path | None
) -> DiscoveredEngines | None:
    """Return the engines that the discoveries will find, without those `named`; None without a discovery. Raises UserError."""

    def make(target: Target) -> EngineCollector:
        role = f"#{target.role}" if target.role else ""
        named = f"{target.name}=" if target.name else ""
        return EngineCollector(f"{named}{target.url}{role}", state, pod=target.pod)

    discoveries = [_discovery(text) for text in dict.fromkeys(texts)]
    groups = [one.groups for one in discoveries if isinstance(one, KubernetesDiscovery)]
    return DiscoveredEngines(discoveries, make, named, groups=groups) if discoveries else None


def _discovery(text: str) -> Discovery:
    kind, _, rest = text.partition(":")
    if text in SIMPLE:
        return SIMPLE[text]()
    if kind != "file" or not rest:
        raise UserError(f"--discover: expected {', '.join(SIMPLE)}, or file:PATH, got {text[:100]!r}.")
    found = FileDiscovery(Path(rest))
    try:
        found.find()
    except DiscoveryError as error:
        raise UserError(str(error)) from error
    return found

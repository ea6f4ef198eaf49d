"""Engines listed in a file of Prometheus' file-based service discovery (JSON or YAML), read again at each look.

Format: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#file_sd_config - a list of groups, each with `targets`
(HOST:PORT) and `labels`. Of the labels `__scheme__`, `__metrics_path__` and `replica` (the replica's name) are used.
"""

from pathlib import Path
from typing import Any

from plimsoll.exporters.discovery import DiscoveryError, Target
from plimsoll.exporters.engines.fetch import address_of
from plimsoll.slo import strict_yaml

LIMIT_BYTES = 2**20


class FileDiscovery:
    """Reads one file."""

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path}"
        self._path = path

    def find(self) -> list[Target]:
        """Return the listed targets; raises DiscoveryError."""
        try:
            with self._path.open("rb") as file:
                text = file.read(LIMIT_BYTES + 1)
            if len(text) > LIMIT_BYTES:
                raise ValueError(f"it is larger than {LIMIT_BYTES >> 20} MiB")
            return [target for group in _groups(strict_yaml.load(text.decode())) for target in _targets(group)]
        except OSError as error:
            raise DiscoveryError(f"{self._path}: {error.strerror}. Check --discover.") from error
        except ValueError as error:
            why = " ".join(str(error).split())[:200].rstrip(".")
            raise DiscoveryError(
                f"{self._path}: {why}. Write a list of {{targets: [HOST:PORT], labels: {{replica: NAME}}}}."
            ) from error


def _groups(document: Any) -> list[dict[str, Any]]:
    if not isinstance(document, list) or not all(isinstance(group, dict) for group in document):
        raise ValueError("it isn't a list of groups")
    return document


def _targets(group: dict[str, Any]) -> list[Target]:
    targets, labels = group.get("targets") or [], group.get("labels") or {}
    if not (isinstance(targets, list) and all(isinstance(one, str) for one in targets) and isinstance(labels, dict)):
        raise ValueError("a group's targets are no list of HOST:PORT, or its labels no mapping")
    replica = str(labels.get("replica", ""))
    if replica and len(targets) > 1:
        raise ValueError(
            f"the label replica: {replica} is given to {len(targets)} targets. Give each a group of its own"
        )
    scheme, path = labels.get("__scheme__", "http"), str(labels.get("__metrics_path__", "")).removesuffix("/metrics")
    found = [Target(f"{scheme}://{one}{path}", replica) for one in targets]
    for target in found:
        address_of(target.url, "target")
    return found

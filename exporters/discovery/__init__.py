"""Finding a node's engines: a discovery lists addresses, and plimsoll.exporters.discovery.watch keeps a collector for each."""

from typing import NamedTuple, Protocol

from plimsoll.exporters.kubernetes.identity import PodIdentity


class Target(NamedTuple):
    """An address where an engine is or may be: its root URL (and path), a name for the replica (empty: host and port), its pod and
    the role that this gives it.

    What is `certain` was listed as an engine, and is down when it doesn't answer. Anything else counts as one once it was recognized.
    One that `lingers` may have crashed when it isn't found any more; any other left on purpose.
    """

    url: str
    name: str = ""
    certain: bool = True
    lingers: bool = False
    pod: PodIdentity | None = None
    role: str = ""


class DiscoveryError(Exception):
    """The list can't be read; the message is one line: where, what is wrong, and the fix."""


class Discovery(Protocol):
    """Lists the engines that there are now."""

    name: str

    def find(self) -> list[Target]:
        """Return every target; raises DiscoveryError."""

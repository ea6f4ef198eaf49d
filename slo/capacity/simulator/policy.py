"""What a scaling policy may see of a simulated fleet, and what it answers."""

from dataclasses import dataclass
from typing import Protocol

from plimsoll.slo.capacity.model.signals import ReplicaSignals
from plimsoll.slo.capacity.simulator.request import Request


@dataclass(frozen=True, slots=True)
class View:
    """What a live service knows at a moment. `busy` is each serving node's GPU utilization, 0 to 1, as NVML reports it; `finished` are
    the requests that finished since the last evaluation, which a live service counts by SLO."""

    now: float
    serving: int
    pending: int
    replicas: tuple[ReplicaSignals, ...]  # with the samples of the last 30 min, including stopped nodes
    busy: tuple[float, ...]
    finished: tuple[Request, ...] = ()

    @property
    def nodes(self) -> int:
        """Nodes that serve or are on their way."""
        return self.serving + self.pending

    @property
    def scraped(self) -> list[ReplicaSignals]:
        """Replicas with a current sample, as an instant query returns."""
        return [replica for replica in self.replicas if replica.waiting[-1:] and replica.waiting[-1][0] >= self.now]

    @property
    def waiting(self) -> float:
        """Requests that wait now."""
        return sum(replica.waiting[-1][1] for replica in self.scraped)


class Policy(Protocol):
    """Decides on the number of nodes, every `interval` seconds."""

    interval: float

    def decide(self, view: View) -> int:
        """Return how many nodes there should be, those on their way included; the fleet keeps it within its limits."""

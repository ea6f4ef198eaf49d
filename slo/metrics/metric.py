"""What a metric of the catalogue is, and how a bucket's bound is spelled."""

import math
from typing import Literal, NamedTuple

Kind = Literal["gauge", "counter", "histogram"]


class Metric(NamedTuple):
    """One metric family. `str(metric)` is its name, so that a query can be written as an f-string.

    A tuple and no dataclass, whose module is 1 MiB in a process that has little else.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str

    def __str__(self) -> str:
        return self.name

    @property
    def bucket(self) -> str:
        """Name of a histogram's bucket series."""
        return f"{self.name}_bucket"

    @property
    def count(self) -> str:  # type: ignore[override]  # of a tuple's own method, which nobody counts with here
        """Name of a histogram's count series."""
        return f"{self.name}_count"

    @property
    def sum(self) -> str:
        """Name of a histogram's sum series."""
        return f"{self.name}_sum"


def bucket_bound(bound: float) -> str:
    """Write a bucket's bound as the label `le` on our pages, which Prometheus 2 and 3 keep alike: 0.6 -> `0.6`, 4 -> `4.0`."""
    return "+Inf" if math.isinf(bound) else repr(float(bound))

"""The type of a metric, and the format of a bucket bound."""

import math
from typing import Literal, NamedTuple

Kind = Literal["gauge", "counter", "histogram"]


class Metric(NamedTuple):
    """One metric family. `str(metric)` is its name, so that a query can be written as an f-string.

    `combined` is what several parts of one gauge are together (of processes, priorities, tenants): their sum, their largest,
    or, if empty, unknown. A tuple, because the dataclasses module adds 1 MiB to a process that needs little
    else.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    combined: Literal["", "sum", "max"] = ""

    def __str__(self) -> str:
        return self.name

    @property
    def bucket(self) -> str:
        """Name of a histogram's bucket series."""
        return f"{self.name}_bucket"

    @property
    def count(self) -> str:  # type: ignore[override]  # shadows tuple.count, which is unused here
        """Name of a histogram's count series."""
        return f"{self.name}_count"

    @property
    def sum(self) -> str:
        """Name of a histogram's sum series."""
        return f"{self.name}_sum"


def bucket_bound(bound: float) -> str:
    """Format a bucket bound as the label `le`, as Prometheus 2 and 3 both store it: 0.6 -> `0.6`, 4 -> `4.0`."""
    return "+Inf" if math.isinf(bound) else repr(float(bound))

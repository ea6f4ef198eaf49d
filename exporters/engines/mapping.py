"""What is known of an engine's metrics endpoint, as data: one `EngineMapping` per kind of server, registered by its module."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from plimsoll.slo.metrics import Metric


@dataclass(frozen=True, slots=True)
class Source:
    """Where a metric of the catalogue stands on an engine's page.

    `names` are the engine's names, newest first; where several are on a page, the newest alone is read. A histogram is named
    without its suffix. `where` picks rows by the engine's labels; `adds` gives labels of ours that the page does not write.
    `since` is the first version with the newest name, where that is known to matter. `optional`: not every such page has it.
    """

    metric: Metric
    names: tuple[str, ...]
    where: Mapping[str, str] = field(default_factory=dict)
    adds: Mapping[str, str] = field(default_factory=dict)
    since: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class CapacityInfo:
    """Labels of an info series (one per rank) from which the KV cache's capacity in tokens is read.

    `tokens` is one rank's capacity. Where it is missing: `blocks` x `block_size`, shared by the ranks on the page.
    `bytes_per_gpu` is what each GPU reserves for it.
    """

    series: str
    tokens: str
    blocks: str
    block_size: str
    bytes_per_gpu: str


@dataclass(frozen=True, slots=True)
class CapacityProduct:
    """Two gauges whose product is the KV cache's capacity in tokens: blocks and tokens per block."""

    blocks: Source
    block_size: Source


@dataclass(frozen=True, slots=True)
class HttpRequests:
    """The engine's own count of answered HTTP requests, and the handlers of which each request asks for one generation."""

    series: str
    handlers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lookup:
    """A fact that is not on the page: a path of the server and the keys that lead to it in the JSON answered there."""

    path: str
    keys: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class EngineMapping:
    """One engine's page: how it is recognized and where each metric of the catalogue stands on it.

    `prefixes` begin the engine's names; what follows the further ones is renamed to the first. `labels` renames the engine's
    labels, later ones winning; other labels are dropped. Rows that differ only in labels of `copies` say the same thing several
    times (one is read); those that differ only in labels of `sums` are parts of one number; any other two rows of one series
    of ours are an error. `model` tells where the model is named when no label does. `served` is a series that is above 0 once
    a request was served: before that, such a page lacks most of its names. `choices` is the histogram of answers asked for
    per request (OpenAI's `n`), of which each has its own first token. `gateway`: one page is about many models and tenants, and
    whatever further labels tell apart is added up.
    """

    engine: str
    title: str
    prefixes: tuple[str, ...]
    sources: tuple[Source, ...]
    labels: Mapping[str, str]
    path: str = "/metrics"
    copies: frozenset[str] = frozenset()
    sums: frozenset[str] = frozenset()
    capacity: CapacityInfo | CapacityProduct | None = None
    http: HttpRequests | None = None
    choices: str = ""
    served: str = ""
    model: Lookup | None = None
    version: Lookup | None = None
    gateway: bool = False


REGISTERED: list[EngineMapping] = []


def register(mapping: EngineMapping) -> EngineMapping:
    """Make an engine known to `plimsoll.exporters.engines.engines`; returns it."""
    REGISTERED.append(mapping)
    return mapping

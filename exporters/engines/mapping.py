"""What is known of an engine's metrics endpoint, as data: one `EngineMapping` per kind of server, registered by its module."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from plimsoll.slo.metrics import Metric


@dataclass(frozen=True, slots=True)
class Source:
    """The engine's source of one metric.

    `names` are the engine's names, newest first; only the newest one present is read. A histogram is named without suffix.
    `where` selects rows by the engine's labels; `adds` sets labels that the engine doesn't expose. `since` is the first version
    with the newest name, where relevant. `optional`: the engine doesn't always expose it.
    """

    metric: Metric
    names: tuple[str, ...]
    where: Mapping[str, str] = field(default_factory=dict)
    adds: Mapping[str, str] = field(default_factory=dict)
    since: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class CapacityInfo:
    """Labels of an info series (one per rank) that give the KV cache's capacity in tokens.

    `tokens` is the capacity of one rank. Without it: `blocks` x `block_size`, shared by all ranks of the replica.
    `bytes_per_gpu` is the reservation of each GPU.
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
    """The engine's counter of HTTP responses, and its handlers that generate text."""

    series: str
    handlers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Lookup:
    """A fact that the metrics don't have: a path of the server, and the keys to the fact in its JSON response."""

    path: str
    keys: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class EngineMapping:
    """One engine: how it is recognized, and the source of each metric.

    `prefixes` begin the engine's names; names with a further prefix are renamed to the first. `labels` renames the engine's
    labels, the last one wins; other labels are dropped. Rows that differ only in labels of `copies` are duplicates (one is
    read); rows that differ only in labels of `sums` are added; any other two rows for one output series are an error.
    `model` locates the model's name where no label has it. `served` is a series above 0 once a request was served: before
    that, most names are absent. `choices` is the histogram of choices per request (OpenAI's `n`), each with its own first
    token. `gateway`: the metrics cover many models and tenants, and rows that differ in other labels are added.
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

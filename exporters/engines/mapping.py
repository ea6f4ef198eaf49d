"""What is known of an engine's metrics endpoint, as data: one `EngineMapping` per kind of server, registered by its module."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from plimsoll.slo.metrics import Metric


@dataclass(frozen=True, slots=True)
class Source:
    """The engine's source of one metric.

    `names` are the engine's names, newest first; only the newest one present is read. A histogram is named without suffix.
    Sources of one metric are added up. `where` and `unless` select rows by the engine's labels; `adds` sets labels that the
    engine doesn't expose; `values` translates the values of the metric's last label. `scale` converts the engine's unit.
    `since` is the first version with the newest name, where relevant. `optional`: the engine doesn't always expose it;
    `lacking` are the roles whose engines never do.
    """

    metric: Metric
    names: tuple[str, ...]
    where: Mapping[str, str] = field(default_factory=dict)
    adds: Mapping[str, str] = field(default_factory=dict)
    since: str = ""
    optional: bool = False
    unless: Mapping[str, frozenset[str]] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    scale: float = 1.0
    lacking: frozenset[str] = frozenset()


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
    """The engine's counter of HTTP responses, its handlers that generate text, and its labels for handler and status.

    `at_end`: a response is counted when it is complete, not when it begins.
    """

    series: str
    handlers: frozenset[str]
    handler: str = "handler"
    status: str = "status"
    at_end: bool = True


@dataclass(frozen=True, slots=True)
class Lookup:
    """A fact that the metrics don't have: a path of the server, and the keys to the fact in its JSON response."""

    path: str
    keys: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """What the mapping was checked against: versions, whether on a real server's page, and in a sentence what is inexact or missing."""

    versions: str
    real: bool
    limits: str


@dataclass(frozen=True, slots=True)
class EngineMapping:
    """One engine: how it is recognized, and the source of each metric.

    `signs`: a page is this engine's if each sign begins the name of a series; of several engines, the one with most signs.
    `labels` renames the engine's labels, the last one wins. Rows that differ in other labels are parts of one number: added
    up (counters, histograms) or combined by the gauge's own rule. Rows that differ only in labels of `copies` are
    duplicates (one is read). `model` locates the model's name where no label has it. `served` is a series above 0 once a
    request was served: before that, most names are absent. `choices` is the histogram of choices per request (OpenAI's `n`),
    each with its own first token. `role` are labels that may name the part of a disaggregated engine. `gateway`: the metrics
    cover many models and tenants. `replicas`: the labels of which the first that isn't empty names the replica, on a page of
    many; `alive` are series that only live ones have. `aborted`: the counter of finished requests includes aborted ones.
    """

    engine: str
    title: str
    signs: tuple[str, ...]
    sources: tuple[Source, ...]
    labels: Mapping[str, str]
    checked: Checked = Checked("none", False, "Unknown.")
    path: str = "/metrics"
    copies: frozenset[str] = frozenset()
    capacity: CapacityInfo | CapacityProduct | None = None
    http: HttpRequests | None = None
    choices: str = ""
    served: str = ""
    model: Lookup | None = None
    version: Lookup | None = None
    role: tuple[str, ...] = ()
    gateway: bool = False
    replicas: tuple[str, ...] = ()
    alive: tuple[str, ...] = ()
    aborted: bool = False


REGISTERED: list[EngineMapping] = []


def register(mapping: EngineMapping) -> EngineMapping:
    """Make an engine known to `plimsoll.exporters.engines.engines`; returns it."""
    REGISTERED.append(mapping)
    return mapping

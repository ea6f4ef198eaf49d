"""Starting objectives: pools and SLOs for the models that are live, with thresholds on bucket bounds that their engines have. Pure.

Targets are those of the reference design (requirements R1, R2, R3, R6 of the source documents). A threshold beside every bound is moved
to the nearest one, by ratio: a threshold between two bounds can't be counted exactly (plimsoll.slo.sli.bucket_bounds).
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from math import inf, log
from typing import Literal, NamedTuple

from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.duplicates import counted_once
from plimsoll.slo.sli.evidence import best, countings
from plimsoll.slo.sli.increments import unit
from plimsoll.slo.sli.indicators.latency import HISTOGRAMS
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.indicator import Indicator
from plimsoll.slo.spec.objectives import Objective, Pool, Window
from plimsoll.slo.units import Target, duration_text, percent_text

ModelKind = Literal["chat", "reasoning", "embedding"]
# Names that models of these kinds carry; all others are taken for chat models.
_EMBEDDING = re.compile(r"embed|bge-|gte-|\be5-|minilm|rerank|colbert", re.IGNORECASE)
_REASONING = re.compile(r"\br1\b|reason|think|qwq|gpt-oss|magistral|\bo[134]\b", re.IGNORECASE)
# Of each kind of model: the suffix of the SLO's ID, the latency, and its wanted threshold in seconds. How long a reasoning model thinks depends on the question,
# so it has no end-to-end time; an embedding has no tokens to wait for, so the whole request stands for the first one.
_WANTED: Mapping[ModelKind, Sequence[tuple[str, str, float]]] = {
    "chat": (
        ("ttft", "time_to_first_token", 0.6),
        ("tpot", "time_per_output_token", 0.04),
        ("e2e", "request_duration", 4.0),
    ),
    "reasoning": (("ttft", "time_to_first_token", 0.6), ("tpot", "time_per_output_token", 0.04)),
    "embedding": (("e2e", "request_duration", 0.6),),
}
LATENCY_TARGET, AVAILABILITY_TARGET = Target(0.95), Target(0.999)  # R1 to R3, and R6
MEASURED = 0.95  # the share of requests whose latency so far is stated beside the threshold
_NAME_LENGTH = 45  # of a pool: an SLO's ID, of at most 63 characters, begins with it


class Proposed(NamedTuple):
    """An SLO to write: its ID, its indicator as the file writes it, its target and window; `note` explains it. Without an indicator, `note`
    gives the reason."""

    id: str
    indicator: str
    target: str
    window: str
    note: str

    @property
    def line(self) -> str:
        """The entry of the objectives file, without the pool."""
        return f"indicator: {self.indicator}, target: {self.target}, window: {self.window}"


class Proposal(NamedTuple):
    """A pool to write, and its SLOs."""

    pool: str
    model: str
    kind: ModelKind
    slos: tuple[Proposed, ...]


def selectors() -> list[Selector]:
    """Return the series that proposals are made from; those of the last minutes suffice."""
    names = [metrics.REPLICA_START.name, metrics.FINISHED.name]
    return [Selector(name, ()) for name in [*names, *(histogram.bucket for histogram in HISTOGRAMS.values())]]


def proposals(series: Sequence[Series], models: Collection[str] = (), names: Collection[str] = ()) -> list[Proposal]:
    """Propose a pool for each live model but `models`, with a name that isn't among `names`."""
    by_model: dict[str, list[Series]] = defaultdict(list)
    for item in counted_once(series).series:
        if item.labels.get("model", "") not in ("", "unknown", *models):
            by_model[item.labels["model"]].append(item)
    live = {
        item.labels["model"] for some in by_model.values() for item in some if item.name == metrics.REPLICA_START.name
    }
    taken, found = set(names), list[Proposal]()
    for model in sorted(live):
        name = _pool_name(model, taken)
        taken.add(name)
        kind = kind_of(model, by_model[model])
        slos = [*_latencies(name, kind, by_model[model]), *_availability(name, model, by_model[model])]
        found.append(Proposal(name, model, kind, tuple(slos)))
    return found


def kind_of(model: str, series: Sequence[Series] = ()) -> ModelKind:
    """Return the kind of a model, by its name; an engine that measures requests and no first token serves embeddings."""
    present = {item.name for item in series}
    tokenless = metrics.DURATION.bucket in present and metrics.TTFT.bucket not in present
    if tokenless or _EMBEDDING.search(model):
        return "embedding"
    return "reasoning" if _REASONING.search(model) else "chat"


def nearest_bound(bounds: Collection[float], wanted: float) -> float | None:
    """Return the finite bound that is nearest to a threshold (both in seconds) by ratio; None where there is none."""
    finite = [bound for bound in bounds if 0 < bound < inf]
    return min(finite, key=lambda bound: (abs(log(bound / wanted)), bound), default=None)


def _pool_name(model: str, taken: Collection[str]) -> str:
    """Make a DNS label of the last part of a model's name."""
    base = re.sub(r"[^a-z0-9]+", "-", model.rpartition("/")[2].lower()).strip("-")[:_NAME_LENGTH].strip("-") or "pool"
    return next(
        name for number in range(1, 10_000) if (name := base if number == 1 else f"{base}-{number}") not in taken
    )


def _latencies(pool: str, kind: ModelKind, series: Sequence[Series]) -> Iterator[Proposed]:
    for suffix, latency, wanted in _WANTED[kind]:
        bound = nearest_bound(_common_bounds(HISTOGRAMS[latency], series), wanted)
        note, indicator = f"the engines have no {HISTOGRAMS[latency].bucket}", ""
        if bound is not None:
            indicator = f"{{{latency}: {duration_text(bound)}}}"
            moved = bound != wanted
            note = f"wanted {duration_text(wanted)}; the nearest bucket bound of the engines" if moved else ""
            note = "; ".join(filter(None, (note, _so_far(HISTOGRAMS[latency], series))))
        yield Proposed(f"{pool}-{suffix}", indicator, percent_text(LATENCY_TARGET), "28d", note)


def _common_bounds(histogram: Metric, series: Sequence[Series]) -> set[float]:
    """Return the bounds that every replica with the histogram has, in seconds."""
    by_replica: dict[object, set[float]] = defaultdict(set)
    for item in series:
        if item.name == histogram.bucket:
            by_replica[unit(item.labels)].add(float(item.labels["le"]))
    return set.intersection(*by_replica.values()) if by_replica else set()


def _so_far(histogram: Metric, series: Sequence[Series]) -> str:
    """State within which bound most requests since the start of the replicas were; empty without requests."""
    within: dict[float, float] = defaultdict(float)
    for item in series:
        if item.name == histogram.bucket:
            within[float(item.labels["le"])] += item.samples[-1][1]
    total = within.get(inf, 0.0)
    bound = next((bound for bound in sorted(within) if total and within[bound] >= MEASURED * total), None)
    if bound is None:
        return ""
    took = f"at most {duration_text(bound)}" if bound < inf else "more than every bound"
    return f"so far {MEASURED:.0%} of {total:,.0f} requests took {took}"


def _availability(pool: str, model: str, series: Sequence[Series]) -> Iterator[Proposed]:
    indicator = Indicator.parse("availability")
    made = Objective(f"{pool}-availability", pool, indicator, AVAILABILITY_TARGET, Window.parse("28d"))
    offered = best(countings(made, Pool(pool, model)), [(item.name, item.labels) for item in series])
    note = "" if offered else f"the engines have no {metrics.FINISHED.name}"
    target, window = percent_text(AVAILABILITY_TARGET), "{calendar: month, timezone: UTC}"
    yield Proposed(made.id, "availability" if offered else "", target, window, note)

"""Outcomes by LoRA adapter and deployment, beside the counts by objective: which adapter or new version hurts whom.

vLLM (0.27 to 0.32) does not tell a stat logger which adapter a finished request used, so the one method of its output processor
that makes the record is wrapped to write the name on it. Where that method is another one, the adapter is `unknown`.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, wraps
from typing import Any

from prometheus_client import Counter

from plimsoll.slo.metrics import ADAPTER_REQUESTS
from plimsoll.slo.spec.indicator import OUTCOMES, Outcome

# Names of adapters come from whoever may load one: those beyond so many are counted together.
MAX_ADAPTERS = 50
OTHER, NONE, UNKNOWN = "other", "none", "unknown"
LONGEST = 100
_MARK = "plimsoll_adapter"


def mark_adapters() -> None:
    """From now on every finished request carries its adapter's name; raises where vLLM has no such method."""
    from vllm.v1.engine.output_processor import OutputProcessor  # noqa: PLC0415 - only where adapters are served

    original: Callable[..., None] = OutputProcessor._update_stats_from_finished
    if hasattr(original, _MARK):
        return

    @wraps(original)
    def marking(self: Any, request: Any, reason: Any, stats: Any) -> None:
        original(self, request, reason, stats)
        with suppress(Exception):  # never a request's trouble
            setattr(stats.finished_requests[-1], _MARK, request.lora_name)

    setattr(marking, _MARK, True)
    OutputProcessor._update_stats_from_finished = marking


class AdapterCounts:
    """Counts of one rank. PLIMSOLL_DEPLOYMENT tells versions of the service apart that run side by side.

    `unmarked` is the adapter of requests that carry no mark: none where none is served, else unknown.
    """

    def __init__(self, model: str, rank: str, objectives: Iterable[str], unmarked: str) -> None:
        self._labels = model, rank, os.environ.get("PLIMSOLL_DEPLOYMENT", "")[:LONGEST]
        self._objectives = tuple(objectives)
        self._unmarked = unmarked
        self._seen: dict[str, dict[tuple[str, Outcome], Counter]] = {}
        self._of(NONE)

    def count(self, request: Any, outcomes: Iterable[tuple[str, Outcome]]) -> None:
        """Count a request's outcomes by objective."""
        counters = self._of(str(getattr(request, _MARK, self._unmarked) or NONE)[:LONGEST])
        for outcome in outcomes:
            counters[outcome].inc()

    def _of(self, adapter: str) -> dict[tuple[str, Outcome], Counter]:
        """The adapter's counters, which exist (at 0) from its first request on."""
        if adapter not in self._seen:
            name = adapter if len(self._seen) < MAX_ADAPTERS or adapter == OTHER else OTHER
            if name != adapter:
                return self._of(OTHER)
            model, rank, deployment = self._labels
            self._seen[adapter] = {
                (objective, outcome): _counter().labels(model, rank, adapter, deployment, objective, outcome)
                for objective in self._objectives
                for outcome in OUTCOMES
            }
        return self._seen[adapter]


@cache
def _counter() -> Counter:
    labels = ("model_name", "engine", "adapter", "deployment", "objective", "outcome")
    return Counter(ADAPTER_REQUESTS.name, ADAPTER_REQUESTS.help, labels)

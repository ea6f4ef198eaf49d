"""Counts outcomes by LoRA adapter and deployment, in addition to those by SLO.

vLLM (0.27 to 0.32) doesn't report a finished request's adapter to a stat logger. This module wraps the method of its output
processor that creates the record, and adds the name. Where vLLM has no such method, the adapter is `unknown`.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, wraps
from typing import Any

from prometheus_client import Counter

from plimsoll.slo.metrics import ADAPTER_REQUESTS
from plimsoll.slo.spec.indicator import OUTCOMES, Outcome

# Maximum distinct adapters: anyone who may load one chooses its name. Further ones are counted as `other`.
MAX_ADAPTERS = 50
OTHER, NONE, UNKNOWN = "other", "none", "unknown"
MAX_NAME = 100
_MARK = "plimsoll_adapter"


def mark_adapters() -> None:
    """Make every finished request carry its adapter's name; raises if vLLM has no such method."""
    from vllm.v1.engine.output_processor import OutputProcessor  # noqa: PLC0415 - only where adapters are served

    original: Callable[..., None] = OutputProcessor._update_stats_from_finished
    if hasattr(original, _MARK):
        return

    @wraps(original)
    def marking(self: Any, request: Any, reason: Any, stats: Any) -> None:
        original(self, request, reason, stats)
        with suppress(Exception):  # must never fail a request
            setattr(stats.finished_requests[-1], _MARK, request.lora_name)

    setattr(marking, _MARK, True)
    OutputProcessor._update_stats_from_finished = marking


class AdapterCounts:
    """Counts of one rank. PLIMSOLL_DEPLOYMENT distinguishes versions of a service that run concurrently.

    `unmarked` is the adapter of requests without a mark: `none` if no adapter is served, else `unknown`.
    """

    def __init__(self, model: str, rank: str, objectives: Iterable[str], unmarked: str) -> None:
        self._labels = model, rank, os.environ.get("PLIMSOLL_DEPLOYMENT", "")[:MAX_NAME]
        self._objectives = tuple(objectives)
        self._unmarked = unmarked
        self._seen: dict[str, dict[tuple[str, Outcome], Counter]] = {}
        self._of(NONE)

    def count(self, request: Any, outcomes: Iterable[tuple[str, Outcome]]) -> None:
        """Count a request's outcomes by SLO."""
        counters = self._of(str(getattr(request, _MARK, self._unmarked) or NONE)[:MAX_NAME])
        for outcome in outcomes:
            counters[outcome].inc()

    def _of(self, adapter: str) -> dict[tuple[str, Outcome], Counter]:
        """Return the adapter's counters, which start at 0 with its first request."""
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

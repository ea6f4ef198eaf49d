"""The contract of an indicator (what makes a request good) and the registry of indicators. Each is one file in plimsoll.slo.sli.indicators."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, TypeVar

from plimsoll.slo.metrics import Metric
from plimsoll.slo.units import Duration, shown

if TYPE_CHECKING:
    from plimsoll.slo.spec.objectives import Objective, Pool

LATENCIES = ("time_to_first_token", "time_per_output_token", "request_duration")
SHORT_NAMES = {"ttft": "time_to_first_token", "tpot": "time_per_output_token", "e2e": "request_duration"}

Outcome = Literal["good", "bad"]
OUTCOMES: tuple[Outcome, Outcome] = ("good", "bad")
# Finish reasons of requests that ran to an end. `repetition` is vLLM's stop of a text that repeats itself: its latencies
# are in the engine's histograms like any other. A reason in neither set (abort: the client disconnected) isn't evaluated.
COMPLETED = frozenset({"stop", "length", "repetition"})
FAILED = frozenset({"error"})


class FinishedRequest(NamedTuple):
    """One finished request; times in seconds. Its fields include every name in LATENCIES."""

    reason: str
    output_tokens: int
    time_to_first_token: float
    time_per_output_token: float
    request_duration: float

    def meets(self, thresholds: Mapping[str, float]) -> bool | None:
        """Return whether every latency is at most its threshold (seconds); None where the request has none of these latencies.

        A request with a single output token has no time per output token.
        """
        measured = [name for name in thresholds if name != "time_per_output_token" or self.output_tokens > 1]
        return all(getattr(self, name) <= thresholds[name] for name in measured) if measured else None


class Indicator(ABC):
    """What makes a request good. `thresholds` maps latencies to seconds; it is empty where no latency matters.

    A class with `parse`, so that msgspec hands over the file's short form and keeps the path for errors.
    """

    kind: ClassVar[str]  # its key in the objectives file
    syntax: ClassVar[str]  # how the objectives file writes it
    per_request: ClassVar[bool] = True  # whether the vLLM plugin evaluates it, request by request
    at_gateways: ClassVar[bool] = True  # whether gateways count it, and so by tenant
    # Whether it covers prefill and decode, so that no engine counts it where these are engines of their own.
    spans_roles: ClassVar[bool] = False
    # How to get its evidence where an engine's metrics have none; empty where no installation helps.
    evidence_fix: ClassVar[str] = ""
    # What an export to OpenSLO loses, because the exported query doesn't state the indicator; None where the query does.
    openslo_loss: ClassVar[str | None] = None
    # Fields of a pool's slot whose requests are bad whatever the load: failed, and (only where nothing else explains a slot) rejected.
    bad_outcomes: ClassVar[tuple[str, ...]] = ()
    # Metrics that an engine may lack without leaving the indicator uncounted, and what is then not counted as bad.
    optional_metrics: ClassVar[Mapping[Metric, str]] = {}

    def __init__(self, thresholds: Mapping[str, Duration] | None = None) -> None:
        self.thresholds: Mapping[str, Duration] = thresholds or {}

    def __str__(self) -> str:
        limits = " and ".join(f"{name} <= {threshold}" for name, threshold in self.thresholds.items())
        return limits if self.latency else ": ".join(filter(None, (self.kind, limits)))

    @staticmethod
    def parse(value: object) -> "Indicator":
        """Read a registered indicator, such as `availability` or `{time_to_first_token: 600ms}`; raises ValueError with the fix."""
        kind, body = next(iter(value.items())) if isinstance(value, dict) and len(value) == 1 else (value, None)
        # At first use: an exporter, on a GPU node, needs neither them nor the 5 MiB that they take.
        import_module(INDICATORS)
        indicator = _REGISTRY.get(kind) if isinstance(kind, str) else None
        found = indicator.read(body) if indicator else None
        if found is None:
            raise ValueError(
                f"{shown(value)} isn't an indicator. Write {' or '.join(i.syntax for i in _REGISTRY.values())}."
            )
        return found

    @classmethod
    @abstractmethod
    def read(cls, body: object) -> Self | None:
        """Read what follows the kind in the file (None: nothing); return None for anything else, raise ValueError for a bad threshold."""

    @abstractmethod
    def to_file(self) -> str | dict[str, Any]:
        """Return it as the objectives file writes it."""

    @abstractmethod
    def evidence(self, objective: "Objective", pool: "Pool") -> tuple[Any, ...]:
        """Return the ways to count it (plimsoll.slo.sli.evidence.Way), best first: ledger, rules and exports read these alone."""

    def gateway_evidence(self, objective: "Objective", labels: Any) -> tuple[Any, ...]:
        """Return the ways to count it at gateways, best first, by their series with these labels; none where they don't evaluate it."""
        del objective, labels
        return ()

    @abstractmethod
    def evaluate(self, request: FinishedRequest) -> Outcome | None:
        """Return the outcome of one request, as the vLLM plugin counts it; None leaves the request out of the total."""

    @property
    def of_tokens(self) -> bool:
        """Whether it needs generated tokens, which embedding models don't have."""
        return not {"time_to_first_token", "time_per_output_token"}.isdisjoint(self.thresholds)

    @property
    def latency(self) -> str | None:
        """The latency whose histogram counts it; None where a histogram can't."""
        return None


Registered = TypeVar("Registered", bound=Indicator)
_REGISTRY: dict[str, type[Indicator]] = {}
INDICATORS = "plimsoll.slo.sli.indicators"  # the package whose modules register them


def register(indicator: type[Registered]) -> type[Registered]:
    """Let the objectives file name an indicator; returns it (a class decorator)."""
    _REGISTRY[indicator.kind] = indicator
    return indicator

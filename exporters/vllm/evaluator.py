"""Evaluates one finished request against an SLO's indicator. Pure, and independent of the engine's types."""

from typing import Literal, NamedTuple

from plimsoll.slo.spec.objectives import Indicator

Outcome = Literal["good", "bad"]
OUTCOMES: tuple[Outcome, Outcome] = ("good", "bad")
# Finish reasons of complete requests. `repetition` is vLLM's stop of a repeating text, whose latencies are in the engine's
# histograms too. Other reasons that aren't in FAILED (abort: the client disconnected) aren't evaluated.
SERVED = frozenset({"stop", "length", "repetition"})
FAILED = frozenset({"error"})


class Finished(NamedTuple):
    """One finished request; times in seconds."""

    reason: str
    output_tokens: int
    time_to_first_token: float
    time_per_output_token: float
    request_duration: float


def evaluate(indicator: Indicator, request: Finished) -> Outcome | None:
    """Evaluate a request: good if every latency <= its threshold, else bad; None excludes it from the total.

    A failed request is bad for goodput and has no latency. A request with a single output token has no time per output
    token: an SLO on that alone excludes it, and goodput checks the other thresholds only. Availability also depends on
    requests that never reach the scheduler, so it isn't evaluated here: None.
    """
    goodput = indicator.kind == "goodput"
    if request.reason in FAILED:
        return "bad" if goodput else None
    if request.reason not in SERVED:
        return None
    evaluated = goodput
    for name, limit in indicator.limits.items():
        if name == "time_per_output_token" and request.output_tokens <= 1:
            continue
        if not getattr(request, name) <= limit:
            return "bad"
        evaluated = True
    return "good" if evaluated else None

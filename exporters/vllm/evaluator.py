"""Whether one finished request was good by an objective's indicator. Pure, and free of any engine's types."""

from typing import Literal, NamedTuple

from plimsoll.slo.spec.objectives import Indicator

Outcome = Literal["good", "bad"]
OUTCOMES: tuple[Outcome, Outcome] = ("good", "bad")
# Finish reasons of requests that ran to an end. `repetition` is vLLM's stop of a text that repeats itself: its latencies
# are in the engine's histograms like any other. What is neither here nor in FAILED (abort: the client left) is not evaluated.
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
    """Judge a request by an indicator's limits, each of which is met when value <= limit; None leaves it out of the total.

    A failed request is bad for goodput and has no latency. A request with a single output token has no time per output
    token: an objective on that alone leaves it out, and goodput asks for the other limits only. Availability is counted
    from what never reaches the scheduler too, so not here: None.
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

"""Prefill and decode in engines of their own: two stages, and between them the transfer of a prompt's KV cache.

As vLLM's NIXL connector behind a sidecar: a prefill engine computes the prompt and one token that is not used; the KV cache goes to a
decode engine, whose next step computes the prompt's last token again and emits the first one that the user gets. Prompts are dealt
round robin to prefill engines, and in the order in which they are computed to decode engines. A link carries one prompt after
another, at either end. That a prefill engine's blocks stay in use until they are fetched is left out.
"""

from collections import deque
from collections.abc import Sequence
from math import inf

from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.replay import Result, replay
from plimsoll.slo.capacity.simulator.request import Limits, Request
from plimsoll.slo.capacity.simulator.step_time import StepModel
from plimsoll.slo.capacity.simulator.traces import Arrival


class DecodeEngine(Engine):
    """A replica that gets prompts with their KV cache. One that it had to push out is computed again, here."""

    def _cached(self, request: Request, length: int) -> tuple[int, int]:
        if request.preemptions:
            return super()._cached(request, length)
        return length, self.limits.blocks(length)


def prefilled(arrivals: Sequence[Arrival], model: StepModel, limits: Limits, link: float) -> list[float]:
    """Return when the KV cache of each prompt has left one prefill engine, which sends a token in `link` seconds. All must fit it."""
    done = replay([one._replace(output=1) for one in arrivals], 1, model, limits).requests
    sent, free = [], 0.0
    for one in done:
        free = max(one.finished or 0.0, free) + one.prompt * link
        sent.append(free)
    return sent


def decoded(
    arrivals: Sequence[Arrival], ready: Sequence[float], model: StepModel, limits: Limits, link: float
) -> list[Request]:
    """Serve with one decode engine the requests whose KV cache is sent by `ready`, in this order. Return them with their latencies from
    their own arrival. All must fit it."""
    engine = DecodeEngine(model, limits)
    received, free = [], 0.0
    for at, one in zip(ready, arrivals, strict=True):  # a link passes a prompt on while the other end sends it
        free = max(at, free + one.prompt * link)
        received.append(free)
    # The step that emits the first token computes the prompt's last one.
    requests = [
        Request(at, max(1, one.prompt - 1), one.output + 1, generated=1)
        for at, one in zip(received, arrivals, strict=True)
    ]
    coming, now = deque(requests), 0.0
    while coming or engine.busy:
        if not engine.busy:
            now = max(now, coming[0].arrival)
        while coming and coming[0].arrival <= now:
            engine.add(coming.popleft())
        step = engine.step(now, coming[0].arrival if coming else inf)
        now = step.end
        for request in step.resumed:
            request.first_token = request.first_token or now
    return [
        Request(
            *one[:3],
            scheduled=request.scheduled,
            first_token=request.first_token,
            finished=request.finished,
            preemptions=request.preemptions,
        )
        for request, one in zip(requests, arrivals, strict=True)
    ]


def serve(arrivals: Sequence[Arrival], pair: tuple[int, int], model: StepModel, limits: Limits, link: float) -> Result:
    """Serve arrivals (in order of time) with a number of prefill and one of decode engines, until all are done. `link` is the seconds
    that a link takes for a token. Raises ValueError without either."""
    prefill, decode = pair
    if min(pair) < 1:
        raise ValueError(f"{prefill} prefill and {decode} decode engines cannot serve; at least 1 of each")
    sent: list[tuple[float, Arrival]] = []
    for index in range(prefill):
        mine = arrivals[index::prefill]
        sent += zip(prefilled(mine, model, limits, link), mine, strict=True)
    sent.sort(key=lambda one: one[0])
    served: list[Request] = []
    for index in range(decode):
        part = sent[index::decode]
        served += decoded([one for _, one in part], [at for at, _ in part], model, limits, link)
    return Result(sorted(served, key=lambda one: one.arrival), 0, 0)

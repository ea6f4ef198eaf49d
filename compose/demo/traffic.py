"""Traffic for the demo fleet: recorded lengths, Poisson arrivals with a daily cycle and bursts. Deterministic for a seed."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from math import inf, pi, sin
from random import Random

import msgspec

from plimsoll.slo import strict_yaml
from plimsoll.slo.capacity.simulator.request import Request
from plimsoll.slo.checks.starting import ModelKind


@dataclass(slots=True, eq=False)
class Call(Request):
    """A request, with its client's behavior and its outcome."""

    max_tokens: int = 0  # requested by the client
    patience: float = inf  # seconds without a token until the client disconnects
    fails: bool = False  # the server returns HTTP 500 before scheduling
    handler: str = "/v1/chat/completions"
    on_tokens: Callable[[int], None] | None = None  # called with the token count when it may have grown

    @property
    def reason(self) -> str:
        """The finish reason, as vLLM names it."""
        return "length" if self.output == self.max_tokens else "stop"


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Shape of the traffic of one replica; see traffic.yaml."""

    quantiles: tuple[float, ...]
    prompt_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]
    max_tokens: int
    calm: float
    swing: float
    swing_period: float
    burst: float
    burst_every: float
    burst_length: float
    burst_first: float
    impatient_share: float
    patience: tuple[float, float]
    error_share: float

    def rate(self, time: float) -> float:
        """Requests per second at one replica, `time` seconds after the start."""
        since = time - self.burst_first
        if since >= 0 and since % self.burst_every < self.burst_length:
            return self.burst
        return self.calm * (1 + self.swing * sin(2 * pi * time / self.swing_period))

    def draw(self, lengths: tuple[int, ...], random: Random) -> int:
        """Draw a length by its quantiles, interpolated linearly."""
        share = random.random()
        index = bisect_right(self.quantiles, share) - 1
        low, high = self.quantiles[index : index + 2]
        return round(lengths[index] + (lengths[index + 1] - lengths[index]) * (share - low) / (high - low))


def profile(kind: ModelKind = "chat") -> Profile:
    """Return the demo's traffic profile of a kind of model."""
    name = "traffic.yaml" if kind == "chat" else f"traffic-{kind}.yaml"
    text = (files("plimsoll.compose.demo") / name).read_text(encoding="utf-8")
    return msgspec.convert(strict_yaml.load(text), Profile)


def calls(shape: Profile, replicas: int, seed: int) -> Iterator[Call]:
    """Yield an endless series of calls to a fleet, in order of arrival.

    A Poisson process with a changing rate, by thinning one with the highest rate (Lewis and Shedler, 1979).
    """
    random = Random(seed)  # noqa: S311 - traffic, not secrets
    highest = max(shape.burst, shape.calm * (1 + shape.swing))
    time = 0.0
    while True:
        time += random.expovariate(highest * replicas)
        if random.random() * highest > shape.rate(time):
            continue
        prompt = shape.draw(shape.prompt_tokens, random)
        output = min(shape.draw(shape.output_tokens, random), shape.max_tokens)
        patience = random.uniform(*shape.patience) if random.random() < shape.impatient_share else inf
        fails = random.random() < shape.error_share
        yield Call(time, prompt, output, max_tokens=shape.max_tokens, patience=patience, fails=fails)

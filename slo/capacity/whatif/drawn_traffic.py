"""The requests of a what-if, drawn with a seed, and the limits of the engine that serves them."""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import ceil
from random import Random

from plimsoll.slo.capacity.model.memory import Fit
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.traces import Arrival
from plimsoll.slo.capacity.whatif.request_mix import Kind, drawn
from plimsoll.slo.capacity.whatif.scenario import BLOCK, Scenario

REQUESTS = 1500  # of a draw: long enough that a replica which cannot keep up is seen to fall behind
PREFIX_BLOCKS = 64  # most blocks of a shared prefix: finer ones take longer with the same result
BATCHED_TOKENS = 8192  # of a step, vLLM's default for servers


def limits_of(scenario: Scenario, fit: Fit) -> Limits | None:
    """Return the limits of the engine; None where a request of the mix does not fit it."""
    if fit.requests < 1 or fit.tokens < max(kind.prompt + kind.output for kind in scenario.mix):
        return None
    common = max(_shared(kind, scenario.prefix_cache_hit_ratio) for kind in scenario.mix)
    prefix_block = BLOCK * ceil(common / BLOCK / PREFIX_BLOCKS)
    budget = max(BATCHED_TOKENS, scenario.max_num_seqs)
    return Limits(fit.tokens // BLOCK, BLOCK, scenario.max_num_seqs, budget, prefix_block)


def arrivals(scenario: Scenario, limits: Limits, rate: float, seed: int, dealt: int = 1) -> Iterator[Arrival]:
    """Draw the same exponential gaps and requests for every rate, the gaps only shorter or longer, so that more traffic is never
    easier by chance. `rate` is that of the requests of one of `dealt` replicas, to which they are dealt in turn."""
    random = Random(seed)  # noqa: S311 - a simulation
    gaps = (random.gammavariate(dealt, 1 / dealt) / rate for _ in range(REQUESTS))
    kinds: Sequence[int] = drawn(scenario.mix, REQUESTS, seed)
    for at, number in zip(accumulate(gaps), kinds, strict=True):
        kind = scenario.mix[number]
        shared = _shared(kind, scenario.prefix_cache_hit_ratio) // limits.prefix_block if limits.prefix_block else 0
        # Blocks are the same for all requests of a kind: numbered by it.
        prefix = tuple(range(number * PREFIX_BLOCKS, number * PREFIX_BLOCKS + shared))
        yield Arrival(at, kind.prompt, kind.output, prefix)


def _shared(kind: Kind, hit: float) -> int:
    """Tokens at a prompt's beginning that its kind has in common."""
    return int(kind.prompt * hit)

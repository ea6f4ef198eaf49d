"""Generates requests from counts per slot, with lengths from a histogram.

A pool's counters do not show the arrival times within a slot (assumed: bursts, if slots differ by more than chance), the pairing of
prompts and outputs (assumed: random), the lengths within a bucket (assumed: matching the mean), or changes of the lengths over time
(assumed: none; use short spans).
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil, isfinite, log
from random import Random

from plimsoll.slo.capacity.simulator.traces import Arrival

SMALLEST = 0.5  # tokens: where the bucket that begins at 0 does, on a logarithmic scale
# The last bucket has no upper bound: vLLM's bounds are 1, 2, 5, 10, ... up to the longest that it serves, which so is at most this
# many times the last of them.
BEYOND = 2.5
RANKS = 20_000  # the mean is matched on at most this many requests
HALVINGS = 30
FINEST = 0.1  # seconds: about what a step takes; how requests lie within one makes no difference
MOST_UNEVEN = 0.9


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of requests: their mean, and a histogram's finite upper `bounds` with the `counts` per bucket, one more than bounds as
    the last is above all of them. Without a histogram only the mean is known. Raises ValueError for what is none."""

    mean: float
    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (isfinite(self.mean) and self.mean > 0):
            raise ValueError(f"mean {self.mean:g}: tokens of a request are above 0")
        if self.counts and len(self.counts) != len(self.bounds) + 1:
            raise ValueError(f"{len(self.bounds)} bounds need {len(self.bounds) + 1} counts, not {len(self.counts)}")
        if list(self.bounds) != sorted(set(self.bounds)) or not all(bound > 0 for bound in self.bounds):
            raise ValueError(f"bounds {self.bounds}: write them in order, above 0")
        if not all(isfinite(count) and count >= 0 for count in self.counts):
            raise ValueError(f"counts {self.counts}: how many there were, 0 or more")

    def drawn(self, count: int, random: Random) -> list[int]:
        """Draw `count` lengths. Each bucket has its share, to within one; the mean matches to half a token, as far as the buckets
        allow. If only the mean is known, lengths are exponential, which of all distributions with that mean presumes the
        least, and whose spread (as large as the mean) is near that of prompts in Azure's traces.
        """
        if any(self.counts):
            places = self._places(count)
            bend = self._bend(places if count <= RANKS else self._places(RANKS))
            found = [_length(place, bend) for place in places]
        else:
            found = [max(1, round(-self.mean * log(1 - rank))) for rank in _ranks(count)]
        random.shuffle(found)
        return found

    def _places(self, count: int) -> list[tuple[float, float, float]]:
        """Return (lower bound, upper bound, position between them) of `count` requests, ordered by length."""
        upto = list(accumulate(self.counts))
        edges = (SMALLEST, *self.bounds, BEYOND * (self.bounds[-1] if self.bounds else self.mean))
        places = []
        for rank in _ranks(count):
            bucket = bisect_left(upto, rank * upto[-1])
            before = upto[bucket - 1] if bucket else 0.0
            share = (rank * upto[-1] - before) / self.counts[bucket]
            places.append((min(edges[bucket], edges[bucket + 1]), edges[bucket + 1], share))
        return places

    def _bend(self, places: Sequence[tuple[float, float, float]]) -> float:
        """Return the exponent on shares that gives the lengths their mean; 1 leaves them spread evenly over the logarithm."""
        low, high = -8.0, 8.0  # powers of two: beyond them all are at one end of their buckets
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if sum(_length(place, 2**middle) for place in places) > self.mean * len(places):
                low = middle
            else:
                high = middle
        return float(2**high)


def _ranks(count: int) -> list[float]:
    return [(index + 0.5) / count for index in range(count)]


def _length(place: tuple[float, float, float], bend: float) -> int:
    low, high, share = place
    return max(int(low) + 1, int(min(high, ceil(low * (high / low) ** share**bend))))


def unevenness(counts: Sequence[float]) -> float:
    """Return how unevenly requests fall into two neighboring slots: 0 as by a coin for each (a Poisson process), towards 1 all
    into one of them.

    The intra-class correlation of the beta-binomial distribution, by moments: of N requests in two slots the first has
    N / 2 on average with variance N / 4 (1 + (N - 1) x unevenness). A ratio of sums over all pairs.
    """
    excess = pairs = 0.0
    for first, second in pairwise(counts):
        both = first + second
        excess += (first - second) ** 2 - both
        pairs += both * max(0.0, both - 1)
    return min(max(0.0, excess / pairs), MOST_UNEVEN) if pairs else 0.0


def requests(
    counts: Sequence[float], slot: float, prompt: Lengths, output: Lengths, seed: int = 0, uneven: float | None = None
) -> list[Arrival]:
    """Generate `counts` requests per slot of `slot` seconds, in time order from 0 s.

    As many as were counted: what a slot has beyond a whole number goes to the next. Inside a slot they are spread over its halves, and
    these over theirs, as unevenly as over neighboring slots: a Poisson process where slots differ no more than by chance,
    bursts where they do. `uneven` is how much they do in more slots than these. The same input gives the same requests. Raises ValueError for a count below 0.
    """
    if not all(isfinite(count) and count >= 0 for count in counts) or not slot > 0:
        raise ValueError(f"slots of {slot:g} s with {min(counts, default=0):g} requests at least: counts are 0 or more")
    random = Random(f"rebuilt {seed}")  # noqa: S311 - a simulation
    uneven = unevenness(counts) if uneven is None else uneven
    times: list[float] = []
    for index, total in enumerate(accumulate(counts)):
        inside = int(total + 0.5) - len(times)
        times += sorted(_spread(inside, index * slot, slot, uneven, random))
    prompts, outputs = prompt.drawn(len(times), random), output.drawn(len(times), random)
    return [Arrival(*found) for found in zip(times, prompts, outputs, strict=True)]


def _spread(count: int, start: float, width: float, uneven: float, random: Random) -> Iterator[float]:
    """Yield the arrival times of `count` requests: a cascade that halves the time (Riedi et al., A multifractal wavelet model with application to
    network traffic, 1999), down to where a step of an engine lies in one piece."""
    if count <= 1 or width < FINEST or not uneven:
        yield from (start + random.random() * width for _ in range(count))
        return
    shape = (1 / uneven - 1) / 2
    share = random.betavariate(shape, shape)
    left = sum(random.random() < share for _ in range(count))
    yield from _spread(left, start, width / 2, uneven, random)
    yield from _spread(count - left, start + width / 2, width / 2, uneven, random)

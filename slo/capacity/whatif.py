"""What if it were another GPU, another mix, twice the traffic: what a replica would carry, by simulation, and what that costs.

The answer is a band: the same traffic is drawn several times, and what one replica carries within the objectives differs
from draw to draw. Arrivals are Poisson; real traffic is burstier, which a backtest on a recorded trace shows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from random import Random

from slo.capacity import memory, steps
from slo.capacity.demand import Promise
from slo.capacity.economics import nodes_for, usd_per_million
from slo.capacity.memory import Deployment, Fit
from slo.capacity.request import Limits
from slo.capacity.simulate import replay
from slo.capacity.traces import Arrival
from slo.spec import Pool

DRAWS = 3
REQUESTS = 1500  # of a draw: long enough that a replica which cannot keep up is seen to fall behind
PRECISION = 0.02  # of the rate that is searched for
BLOCK = 16  # tokens of a KV block, vLLM's default
UTILISATION = 0.9  # share of a GPU's memory that the engine takes (vLLM: gpu_memory_utilization)
OVERHEAD = 1e9  # bytes a GPU for activations and graphs: an assumption


@dataclass(frozen=True, slots=True)
class Question:
    """A replica by name of its step model, requests of so many prompt and output tokens, what is promised, and how many come.

    `rate` is requests per second; `usd_per_gpu_hour` (low, high) replaces the rental prices on record.
    """

    replica: str
    prompt: int
    output: int
    promise: Promise
    rate: float
    max_num_seqs: int = 256
    kv_value_bytes: int = 2
    usd_per_gpu_hour: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """Bands are (low, high). `carries` is requests per second of one replica within the promise; `nodes` and `n_minus_1` (so
    that the promise holds when one is lost) are for the rate; `usd_per_million` counts prompt and output tokens of that rate."""

    memory: Fit
    carries: tuple[float, float]
    nodes: tuple[int, int]
    n_minus_1: tuple[int, int]
    usd_per_million: tuple[float, float]


def whatif(question: Question) -> Answer | None:
    """Answer; None where no request at all fits the replica or keeps the promise. Raises ValueError for unknown names."""
    replica = steps.replica(question.replica)
    gpu = memory.load_gpu(replica.gpu)
    deployment = Deployment(
        *(replica.gpus, gpu.memory_bytes * UTILISATION, replica.weight_bits, question.kv_value_bytes),
        overhead_bytes=OVERHEAD * replica.gpus,
    )
    room = memory.fit(memory.load(replica.shape), deployment, question.prompt + question.output)
    if room.requests < 1:
        return None
    limits = Limits(room.tokens // BLOCK, BLOCK, question.max_num_seqs, max(8192, question.max_num_seqs))
    found = sorted(_carries(question, limits, seed) for seed in range(DRAWS))
    if found[0] == 0:
        return None
    most, fewest = (nodes_for(question.rate, rate) for rate in (found[0], found[-1]))
    tokens = question.rate * (question.prompt + question.output)
    low, high = question.usd_per_gpu_hour or gpu.usd_per_hour
    return Answer(
        room,
        (found[0], found[-1]),
        (fewest, most),
        (fewest + 1, most + 1),
        (
            usd_per_million(fewest * replica.gpus * low, tokens),
            usd_per_million(most * replica.gpus * high, tokens),
        ),
    )


def gpu_price(pool: Pool, name: str) -> tuple[float, float] | None:
    """Return what a GPU of the pool costs an hour, where the replica of that name runs on the same; else the rents on record stand."""
    same = steps.replica(name).gpu == pool.node.gpu
    usd = pool.node.hourly_usd / pool.node.gpus
    return (usd, usd) if same and usd else None


def _carries(question: Question, limits: Limits, seed: int) -> float:
    """Search for the highest rate at which one replica keeps the promise; 0 where it cannot even for a lone request."""
    model = steps.load(question.replica)

    def keeps(rate: float) -> bool:
        result = replay(list(_arrivals(question, rate, seed)), 1, model, limits)
        return result.goodput(question.promise.ttft, question.promise.tpot) >= question.promise.target

    alone = 1 / (model.prefill(question.prompt) + question.output * model.decode(1, question.prompt + question.output))
    low, high = 0.0, alone
    while keeps(high):
        low, high = high, 2 * high
    if low == 0.0:  # what one after the other would take is too much: look below, down to next to nothing
        low = alone / 64
        if not keeps(low):
            return 0.0
    while high - low > PRECISION * low:
        middle = (low + high) / 2
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low


def _arrivals(question: Question, rate: float, seed: int) -> Iterator[Arrival]:
    """Draw the same exponential gaps for every rate, only shorter or longer, so that more traffic is never easier by chance."""
    random = Random(seed)  # noqa: S311 - a simulation
    gaps = (random.expovariate(1.0) / rate for _ in range(REQUESTS))
    return (Arrival(at, question.prompt, question.output) for at in accumulate(gaps))

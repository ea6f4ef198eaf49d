"""Step times from a model's sizes and a GPU's peaks, where no operators were measured: a roofline with the usual losses.

A step takes as long as its operations or its reads, whichever is longer, at the share of the peak that kernels reach, and then
launches and all-reduces of every layer. The shares and times are the middle of what AIConfigurator 0.12 has measured of 14 pairs of
model and GPU (tests/benchmarks/bench_planner.py prints them); no more than a factor of `SPREAD` lies between both.
"""

from collections.abc import Callable

from plimsoll.slo.capacity.model.memory import BITS_PER_BYTE, Gpu
from plimsoll.slo.capacity.planner.architecture import Architecture

COMPUTE = 0.60  # share of the peak operations that a large prompt reaches
READ = 0.70  # share of the peak memory bandwidth
LAUNCHES = 25e-6  # seconds a layer
ALL_REDUCE = 8e-6  # seconds that one takes at least; a layer has two
OF_LAYER = 2
VALUE_BYTES = 2  # of an activation that GPUs exchange
MILLISECONDS = 1000
OPERATIONS = 2  # of a multiplication with a parameter, and its addition


def step(model: Architecture, gpu: Gpu, gpus: int, bits: int, kv_bytes: int) -> Callable[[int, int, int], float]:
    """Return a function of a step's prompt tokens, decoding sequences and their mean length, in milliseconds."""
    peak = gpu.operations_per_second[bits] * gpus * COMPUTE
    bandwidth = gpu.bytes_per_second * gpus * READ
    attends = (
        2 * OPERATIONS * model.query_width * model.layers
    )  # for a token and one that it looks at: queries by K, scores by V

    def took(tokens: int, sequences: int, length: int) -> float:
        held = model.of_request(length, kv_bytes, gpus)
        if held is None:  # an unknown kind of cache reads no more than one of full attention would
            held = 0.0
        operations = OPERATIONS * model.active_parameters * (tokens + sequences)
        operations += attends * length * (tokens / 2 + sequences)
        read = model.parameters_read(tokens + sequences) * bits / BITS_PER_BYTE + sequences * held
        layers = model.layers * LAUNCHES
        if gpus > 1:
            moved = (tokens + sequences) * model.hidden * VALUE_BYTES * 2 * (gpus - 1) / gpus
            layers += model.layers * OF_LAYER * (ALL_REDUCE + moved / gpu.link_bytes_per_second)
        return MILLISECONDS * (max(operations / peak, read / bandwidth) + layers)

    return took

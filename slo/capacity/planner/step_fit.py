"""A step model from the times of single steps, fitted over the steps that a workload makes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from plimsoll.slo.capacity.model.least_squares import non_negative
from plimsoll.slo.capacity.simulator.step_time import MILLISECOND, StepModel

Step = Callable[[int, int, int], float]  # prompt tokens, decoding sequences, and their mean length: milliseconds
BATCHES = (1, 2, 4, 8, 16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
CHUNKS = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
# Beside prompts; together they fill a chunk, as kernels are slower for sizes between powers of two.
SHARED_BATCHES = (1, 16)
SHARED_CHUNKS = (512, 1024, 2048, 4096)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A step model, and the mean relative error of its decode steps: large where experts are read one by one."""

    model: StepModel
    error: float


def fitted(step: Step, contexts: Sequence[int], largest_batch: int) -> Fitted:
    """Fit a step model: batches up to `largest_batch`, sequences of these mean lengths. Least squares of relative errors."""
    batches = [batch for batch in BATCHES if batch <= max(16, largest_batch)]
    middle = contexts[len(contexts) // 2]
    decodes = [(batch, context) for batch in batches for context in contexts]
    terms = np.array([[1.0, batch, batch * context] for batch, context in decodes])
    times = np.array([step(0, batch, context) for batch, context in decodes])
    decode = non_negative(terms, times, range(3))
    alone = {tokens: step(tokens, 0, middle) for tokens in CHUNKS}
    prefill = non_negative(
        np.array([[1.0, tokens, tokens * tokens] for tokens in alone]), np.array(list(alone.values())), range(3)
    )
    both = [
        alone[tokens] + step(0, batch, middle) - step(tokens - batch, batch, middle)
        for tokens in SHARED_CHUNKS
        for batch in SHARED_BATCHES
        if batch <= max(1, largest_batch)
    ]
    found = (*prefill, *decode, max(0.0, median(both)))
    error = float(np.mean(np.abs(terms @ decode - times) / times))
    return Fitted(StepModel(*(float(value) * MILLISECOND for value in found)), error)

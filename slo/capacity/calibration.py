"""What is known of the step time of a pool that runs: the fit of slo.capacity.calibrate, how well it fits, and what it has seen.

A step of a batch of b requests with K tokens in the KV cache takes base + per_sequence b + per_kv_token K, and longer where it
computes prompts too: per_prompt for each of them and per_prompt_token for each token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from slo.capacity.intervals import Interval, ranks
from slo.capacity.steps import StepModel
from slo.sources import Series

ENOUGH = 20  # intervals: below, a plane through them means little
TERMS = ("base", "per_sequence", "per_kv_token", "per_prompt", "per_prompt_token")
Range = tuple[float, float]


def parts(one: Interval) -> tuple[float, ...]:
    """Return what each of TERMS is multiplied by in an interval. A prompt keeps those waiting that decode while it is computed: on
    average `step` times its rate, of each step."""
    return 1.0, one.batch, one.kv_tokens, one.step * one.prompts, one.step * one.prompt_tokens


@dataclass(frozen=True, slots=True)
class Calibration:
    """Seconds: a step of a batch b with K tokens in the KV cache takes base + per_sequence b + per_kv_token K; and per_prompt, and
    per_prompt_token for each token, for prompts that it computes.

    `r_squared` is the share of the variance of the steps of `intervals` that this explains, `error` the median relative error.
    `batches`, `contexts` (tokens of a request in the KV cache) and `prompts` (tokens computed of a prompt; None: none was) are
    ranges seen. `left_out` are replicas unlike the others, with how many times as long their steps take. `kv_tokens` is what the KV
    cache of a rank holds, `most_running` the largest batch of one, `ranks` how many a replica has.
    """

    base: float
    per_sequence: float
    per_kv_token: float
    per_prompt: float
    per_prompt_token: float
    r_squared: float
    error: float
    intervals: int
    since: float
    until: float
    batches: Range
    contexts: Range
    prompts: Range | None
    replicas: tuple[str, ...]
    left_out: dict[str, float]
    kv_tokens: int
    most_running: int
    ranks: int
    simulated: bool = field(default=False)

    @property
    def model(self) -> StepModel:
        """The same as the simulator takes it. What a prompt costs by the square of its length is within per_prompt_token."""
        return StepModel(self.per_prompt, self.per_prompt_token, 0.0, self.base, self.per_sequence, self.per_kv_token)

    def tpot(self, batch: float, context: float) -> float:
        """Seconds per token of each of `batch` requests of mean length `context`, while no prompt is computed."""
        return self.base + batch * (self.per_sequence + self.per_kv_token * context)

    def step(self, one: Interval) -> float:
        """Seconds that a step of an interval ought to have taken, as decoding requests felt it."""
        found: float = sum(getattr(self, term) * value for term, value in zip(TERMS, parts(one), strict=True))
        return found

    def error_on(self, series: Sequence[Series]) -> float | None:
        """Return the median relative error on other intervals of the same replicas; None where there are too few."""
        seen = [one for rank in ranks(series) for one in rank.intervals if rank.replica not in self.left_out]
        return median(abs(self.step(one) / one.step - 1) for one in seen) if len(seen) >= ENOUGH else None

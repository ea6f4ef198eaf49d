"""What an engine works on: its limits, a request and what became of it, and the steps in which it did."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Size of a replica: KV cache in blocks of tokens, largest batch, tokens per step; tokens of a prompt block that its prefix
    cache shares (0: it has none)."""

    num_blocks: int = 40_900
    block_size: int = 16
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    prefix_block: int = 0

    def __post_init__(self) -> None:
        if min(self.num_blocks, self.block_size, self.max_num_seqs) < 1:
            raise ValueError(f"{self}: every limit must be at least 1")
        if self.max_num_batched_tokens < self.max_num_seqs:
            raise ValueError(f"{self}: max_num_batched_tokens must be at least max_num_seqs, as vLLM asks")

    def blocks(self, tokens: int) -> int:
        """Return the number of blocks that hold `tokens` tokens."""
        return -(-tokens // self.block_size)


@dataclass(slots=True, eq=False)
class Request:
    """One request: lengths in tokens, hashes of its prompt's blocks, and what became of it, in seconds of the caller's clock."""

    arrival: float
    prompt: int
    output: int
    prefix: tuple[int, ...] = ()
    scheduled: float | None = None
    first_token: float | None = None
    finished: float | None = None
    preemptions: int = 0
    generated: int = 0  # as of its last preemption or first token; Engine.generated() knows it at any time
    paused: float = 0.0  # when it was last pushed out between two tokens
    ticket: int = 0  # order of admission
    due: int = 0  # clock at which it has all its tokens

    @property
    def ttft(self) -> float | None:
        """Seconds from arrival to first token; None before."""
        return None if self.first_token is None else self.first_token - self.arrival

    @property
    def tpot(self) -> float | None:
        """Mean seconds per token after the first; 0 for a single token, as vLLM records it; None before the end."""
        if self.first_token is None or self.finished is None:
            return None
        return (self.finished - self.first_token) / (self.output - 1) if self.output > 1 else 0.0


@dataclass(slots=True)
class Step:
    """One step, or `count` equal ones in a row (then no prompt is computed and only the last can finish requests)."""

    start: float
    end: float = 0.0
    count: int = 1
    growth: float = 0.0  # by which each of the `count` steps is longer than the one before
    decodes: int = 0  # requests that got a further token, in each of the steps
    prompt_tokens: int = 0
    running: int = 0
    blocks: int = 0  # KV blocks in use in the last of the steps
    first_tokens: list[Request] = field(default_factory=list)
    resumed: list[Request] = field(default_factory=list)
    finished: list[Request] = field(default_factory=list)
    preempted: list[Request] = field(default_factory=list)

    def durations(self) -> list[float]:
        """Seconds that each of the steps took."""
        shortest = (self.end - self.start) / self.count - self.growth * (self.count - 1) / 2
        return [shortest + self.growth * index for index in range(self.count)]

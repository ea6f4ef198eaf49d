"""What a replica runs on."""

from dataclasses import dataclass

SIZES = (1, 2, 4, 8)  # GPUs of a replica: what attention heads can be dealt to
BITS = (4, 8, 16)


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a replica runs on: GPU type, how many of them by tensor parallelism, bits of a weight (None: not known)."""

    gpu: str
    gpus: int
    weight_bits: int | None

    def __post_init__(self) -> None:
        if self.gpus not in SIZES:
            raise ValueError(f"tensor_parallel_size {self.gpus}: tensor parallelism over {_listed(SIZES)}")
        if self.weight_bits is not None and self.weight_bits not in BITS:
            raise ValueError(f"weight_bits {self.weight_bits}: weights of {_listed(BITS)} bits")


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values[:-1])) + f" or {values[-1]}"

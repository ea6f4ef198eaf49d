"""Step models of replicas that nobody measured: a measured one's, scaled to other GPUs, more of them, or other weights. A band.

A roofline says how much less there is to do for each GPU: bytes to read for a decode step, operations for a prompt. Real steps
gain less than that: kernels, launches and communication do not shrink with it. Where both sides are known (AIConfigurator 0.12,
70B: H100 to H200, 4 to 8 GPUs, FP8 to BF16), decode steps changed by the roofline's ratio to the power of 0.30 to 0.50, times to
the first token of 0.18. The band goes from a power of 0.15 to 1: it holds what was seen, and the physical limit. Interconnects
are not in it: GPUs without NVLink may lie outside.
"""

from dataclasses import dataclass

from slo.capacity import steps
from slo.capacity.memory import load_gpu
from slo.capacity.steps import StepModel

LEAST, MOST = 0.15, 1.0  # powers of the roofline's ratio
SIZES = (1, 2, 4, 8)  # GPUs of a replica: what attention heads can be dealt to
BITS = (4, 8, 16)


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a replica runs on: GPU type, how many of them by tensor parallelism, bits of a weight."""

    gpu: str
    gpus: int
    weight_bits: int

    def __post_init__(self) -> None:
        if self.gpus not in SIZES:
            raise ValueError(f"gpus {self.gpus}: tensor parallelism over {_listed(SIZES)}")
        if self.weight_bits not in BITS:
            raise ValueError(f"weight_bits {self.weight_bits}: weights of {_listed(BITS)} bits")


@dataclass(frozen=True, slots=True)
class Scaled:
    """Step models from the fastest to the slowest that is likely (one, if it was measured), and how they were come by."""

    models: tuple[StepModel, ...]
    steps: tuple[str, ...]


def scaled(name: str, target: Hardware) -> Scaled:
    """Return step models of the replica `name` on other hardware; raises ValueError for unknown names."""
    known = steps.replica(name)
    measured = next((other for other in steps.names() if _is(other, known.shape, target)), None)
    if measured:
        return Scaled((steps.load(measured),), (f"step times: measured operators of {measured}",))
    model, before, after = steps.load(name), load_gpu(known.gpu), load_gpu(target.gpu)
    bits = int(known.weight_bits)
    reading = known.gpus * before.bytes_per_second / (target.gpus * after.bytes_per_second)
    now = known.gpus * before.operations_per_second[bits]
    ratios = {
        "prompts (operations)": now / (target.gpus * after.operations_per_second[target.weight_bits]),
        "weights (bytes read)": reading * target.weight_bits / bits,
        "KV cache (bytes read)": reading,
    }
    bands = {what: sorted((ratio**LEAST, ratio**MOST)) for what, ratio in ratios.items()}
    models = (_times(model, *(band[end] for band in bands.values())) for end in (0, 1))
    said = (f"{what}: {band[0]:.2f} to {band[1]:.2f} times as long" for what, band in bands.items())
    return Scaled(tuple(models), (f"step times: not measured; those of {name}, scaled", *said))


def _is(name: str, shape: str, target: Hardware) -> bool:
    other = steps.replica(name)
    return (other.shape, other.gpu, other.gpus, other.weight_bits) == (
        shape,
        target.gpu,
        target.gpus,
        target.weight_bits,
    )


def _times(model: StepModel, prompts: float, weights: float, cache: float) -> StepModel:
    return StepModel(
        model.prefill_base * prompts,
        model.prefill_per_token * prompts,
        model.prefill_per_token_squared * prompts,
        model.decode_base * weights,
        model.decode_per_sequence * weights,
        model.decode_per_kv_token * cache,
    )


def _listed(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values[:-1])) + f" or {values[-1]}"

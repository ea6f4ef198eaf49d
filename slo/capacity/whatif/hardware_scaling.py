"""Step models of replicas without measurements: those of a measured one, scaled to other GPUs, GPU counts, or weights. A range.

A roofline gives the work per GPU: bytes to read for a decode step, operations for a prompt. Real steps
gain less than that: kernels, launches and communication do not shrink with it. Where both sides are known (AIConfigurator 0.12,
70B: H100 to H200, 4 to 8 GPUs, FP8 to BF16), decode steps changed by the roofline's ratio to the power of 0.30 to 0.50, times to
the first token of 0.18. The band goes from a power of 0.15 to 1: it holds what was seen, and the physical limit. Interconnects
are not in it: GPUs without NVLink may lie outside.
"""

from collections.abc import Sequence

from plimsoll.slo.capacity.model.hardware import BITS, Hardware
from plimsoll.slo.capacity.model.memory import load_gpu
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.step_time import Scaled, StepModel

LEAST, MOST = 0.15, 1.0  # powers of the roofline's ratio


def scaled(name: str, target: Hardware) -> Scaled:
    """Return step models of the replica `name` on other hardware; raises ValueError for unknown names."""
    known = step_time.replica(name)
    measured = next((other for other in step_time.names() if _is(other, known.shape, target)), None)
    if measured:
        return Scaled((step_time.load(measured),), True, (f"step times: measured operators of {measured}",))
    own = Hardware(known.gpu, known.gpus, int(known.weight_bits))
    return stretched(step_time.load(name), own, target, f"those of {name}")


def stretched(model: StepModel, own: Hardware, target: Hardware, whose: str) -> Scaled:
    """Scale a step model from the hardware that it was measured on to another. Raises ValueError for unknown GPUs, and for other
    weights where those measured are not known."""
    if own.weight_bits is None and target.weight_bits is not None:
        raise ValueError(
            f"weight_bits {target.weight_bits}: how many those of the measured replica have is not known; leave it out"
        )
    before, after = load_gpu(own.gpu), load_gpu(target.gpu)
    reading = own.gpus * before.bytes_per_second / (target.gpus * after.bytes_per_second)
    # Where bits are not known they are the same before and after, and any of them is possible.
    pairs = [(own.weight_bits, target.weight_bits or own.weight_bits)] if own.weight_bits else [(b, b) for b in BITS]
    gpus = own.gpus / target.gpus
    ratios = {
        "prompts (operations)": [
            gpus * before.operations_per_second[old] / after.operations_per_second[new] for old, new in pairs
        ],
        "weights (bytes read)": [reading * new / old for old, new in pairs],
        "KV cache (bytes read)": [reading],
    }
    bands = {what: _band(likely) for what, likely in ratios.items()}
    models = (_times(model, *(band[end] for band in bands.values())) for end in (0, 1))
    steps = (f"{what}: {band[0]:.2f} to {band[1]:.2f} times as long" for what, band in bands.items())
    return Scaled(tuple(models), False, (f"step times: not measured; {whose}, scaled", *steps))


def _band(ratios: Sequence[float]) -> tuple[float, float]:
    ends = [ratio**power for ratio in ratios for power in (LEAST, MOST)]
    return min(ends), max(ends)


def _is(name: str, shape: str, target: Hardware) -> bool:
    other = step_time.replica(name)
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
        model.shared * min(prompts, weights),
    )

"""How long one step of an engine takes, from the tokens and sequences in it."""

from dataclasses import astuple, dataclass
from importlib.resources import files
from typing import Any

from plimsoll.slo import strict_yaml

MILLISECOND = 1e-3


@dataclass(frozen=True, slots=True)
class StepModel:
    """Step time in seconds: a prefill part, quadratic in prompt tokens, and a decode part, linear in KV tokens in use."""

    prefill_base: float
    prefill_per_token: float
    prefill_per_token_squared: float
    decode_base: float
    decode_per_sequence: float
    decode_per_kv_token: float
    shared: float = (
        0.0  # of a step with both parts: what both have in common, such as reading the weights, and is done once
    )

    def times(self, factor: float) -> "StepModel":
        """Return the model with all step times multiplied."""
        return StepModel(*(factor * value for value in astuple(self)))

    def prefill(self, tokens: int) -> float:
        """Seconds that a step spends on `tokens` new prompt tokens."""
        if tokens == 0:
            return 0.0
        return self.prefill_base + tokens * (self.prefill_per_token + self.prefill_per_token_squared * tokens)

    def decode(self, sequences: int, context: int) -> float:
        """Seconds that a step spends on one more token for each of `sequences` of mean length `context`; 1 ms at least."""
        if sequences == 0:
            return 0.0
        per_sequence = self.decode_per_sequence + self.decode_per_kv_token * context
        return max(MILLISECOND, self.decode_base + sequences * per_sequence)

    def together(self, prefill: float, decode: float) -> float:
        """Seconds of a step of these parts, as `prefill` and `decode` give them."""
        return (
            max(prefill, decode, prefill + decode - self.shared)
            if self.shared and prefill and decode
            else prefill + decode
        )


@dataclass(frozen=True, slots=True)
class Scaled:
    """Step models from the fastest to the slowest that is likely, whether they were measured on that hardware, and how they were
    come by."""

    models: tuple[StepModel, ...]
    measured: bool
    steps: tuple[str, ...]


def names() -> tuple[str, ...]:
    """Return the names of the replicas with a known step model, such as `70b-fp8-h100-tp4`."""
    return tuple(_models())


@dataclass(frozen=True, slots=True)
class Replica:
    """Hardware of a replica with a known step model: GPU type, number of GPUs, shape of the model, bits per weight."""

    gpu: str
    gpus: int
    shape: str
    weight_bits: float


def replica(name: str) -> Replica:
    """Return the hardware of a replica. Raises ValueError that lists the known names."""
    model = _model(name)
    return Replica(**{key: model[key] for key in ("gpu", "gpus", "shape", "weight_bits")})


def load(name: str) -> StepModel:
    """Return the step model of a replica; raises ValueError that lists the known names."""
    model = _model(name)
    return StepModel(
        **{
            f"{part}_{term}": float(value) * MILLISECOND
            for part in ("prefill", "decode")
            for term, value in model[f"{part}_ms"].items()
        }
    )


def _model(name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = _models()[name]
    except KeyError:
        raise ValueError(f"no step model for replica {name!r}; known are {', '.join(names())}") from None
    return found


def _models() -> dict[str, Any]:
    text = (files("plimsoll.slo") / "data" / "step_models.yaml").read_text(encoding="utf-8")
    models: dict[str, Any] = strict_yaml.load(text)["models"]
    return models

"""How long one step of an engine takes, from the tokens and sequences in it."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

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


def names() -> tuple[str, ...]:
    """List the replicas whose step model is known, such as `70b-fp8-h100-tp4`."""
    return tuple(_models())


def gpus(name: str) -> int:
    """Return how many GPUs a replica whose step model is known takes."""
    return int(_models()[name]["gpus"])


def load(name: str) -> StepModel:
    """Return the step model of a replica; raises ValueError that lists the known names."""
    try:
        model = _models()[name]
    except KeyError:
        raise ValueError(f"no step model for replica {name!r}; known are {', '.join(names())}") from None
    return StepModel(
        **{
            f"{part}_{term}": float(value) * MILLISECOND
            for part in ("prefill", "decode")
            for term, value in model[f"{part}_ms"].items()
        }
    )


def _models() -> dict[str, Any]:
    text = (files("slo") / "data" / "step_models.yaml").read_text(encoding="utf-8")
    models: dict[str, Any] = yaml.safe_load(text)["models"]
    return models

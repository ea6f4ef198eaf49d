"""Which configuration a model's name stands for, and the bits of its weights by its name.

Fine-tunes, sizes of context and precisions of one model share its shape: `meta-llama/Llama-3.3-70B-Instruct-FP8` is
Llama 3.1 70B to a GPU. What is left of a name without these is looked up; nothing is downloaded.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files

from plimsoll.slo import strict_yaml

BITS = (
    (re.compile(r"(nv|mx)?fp4|awq|gptq|w4a16|int4|4bit"), 4),
    (re.compile(r"fp8|w8a8|int8|8bit"), 8),
    (re.compile(r"bf16|fp16"), 16),
)
VARIANT = re.compile(
    r"[-_.](instruct|it|chat|hf|base|thinking|dynamic|static|block|pertensor|quantized|v1[_.]5|v1[_.]1|\d{4}|nvfp4|mxfp4|fp4|awq|gptq"
    r"|w4a16|w8a8|int4|int8|4bit|8bit|fp8|bf16|fp16)(?=[-_.]|$)"
)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model as it was named, the name of the configuration with its shape, and bits of a weight by the name (None: it has none)."""

    name: str
    config: str
    weight_bits: int | None


def find(name: str, known: Iterable[str]) -> Checkpoint | None:
    """Return the configuration among `known` for a model's name, as `owner/model` or the model alone; None: there is none."""
    by_name = {one.lower(): one for one in sorted(known)}
    bits = named_bits(name)
    if exact := by_name.get(name.lower()):
        return Checkpoint(name, exact, bits)
    wanted = stem(name)
    wanted = _aliases().get(wanted, wanted)
    # Of several with one shape the plainest name comes first: a checkpoint without a precision of its own.
    same = sorted((one for one in by_name.values() if stem(one) == wanted), key=lambda one: (named_bits(one) or 0, one))
    return Checkpoint(name, same[0], bits) if same else None


def named_bits(name: str) -> int | None:
    """Bits of a weight by a model's name; None: it has none."""
    own = name.rpartition("/")[2].lower()
    return next((bits for pattern, bits in BITS if pattern.search(own)), None)


def stem(name: str) -> str:
    """Return what names a model's shape: without its owner, tuning and precision."""
    own = name.rpartition("/")[2].lower().replace("meta-llama", "llama")
    while (shorter := VARIANT.sub("", own)) != own:
        own = shorter
    return own


def _aliases() -> dict[str, str]:
    text = (files("plimsoll.slo") / "data" / "same_shape.yaml").read_text(encoding="utf-8")
    aliases: dict[str, str] = strict_yaml.load(text)["same_shape"]
    return aliases

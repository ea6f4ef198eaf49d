"""Which requests come: kinds of them by length of prompt and output, and the share of each."""

from collections.abc import Sequence
from math import isclose
from random import Random
from typing import NamedTuple

LONGEST = 131_072  # tokens of a prompt or an output
PERCENT = 100


class Kind(NamedTuple):
    """Requests with `prompt` input and `output` output tokens; `share` of all requests, 0 to 1."""

    prompt: int
    output: int
    share: float = 1.0


def parse(text: str) -> tuple[Kind, ...]:
    """Read `INPUT/OUTPUT/PERCENT,...`, such as `500/200/70,6000/300/30`; raises ValueError that states what is wrong."""
    kinds = []
    for part in text.replace(",", " ").split():
        fields = part.split("/")
        try:
            prompt, output, percent = int(fields[0]), int(fields[1]), float(fields[2])
        except (ValueError, IndexError):
            fields = []
        if len(fields) != 3 or not (0 < prompt <= LONGEST and 0 < output <= LONGEST and 0 < percent <= PERCENT):
            raise ValueError(f"workload_mix {part!r}: expected INPUT/OUTPUT/PERCENT, such as 500/200/70,6000/300/30.")
        kinds.append(Kind(prompt, output, percent / PERCENT))
    total = sum(kind.share for kind in kinds)
    if not isclose(total, 1.0, abs_tol=0.005):
        raise ValueError(f"workload_mix {text!r}: the percentages add up to {PERCENT * total:g}, not to 100.")
    return tuple(kind._replace(share=kind.share / total) for kind in kinds)


def written(mix: Sequence[Kind]) -> str:
    """Write a mix as `parse` reads it."""
    return ",".join(f"{kind.prompt}/{kind.output}/{PERCENT * kind.share:g}" for kind in mix)


def drawn(mix: Sequence[Kind], count: int, seed: int) -> list[int]:
    """Draw `count` requests; return the index of the kind of each."""
    random = Random(f"kinds {seed}")  # noqa: S311 - a simulation; other numbers than those that gaps are drawn from
    return random.choices(range(len(mix)), [kind.share for kind in mix], k=count)


def mean_prompt(mix: Sequence[Kind]) -> float:
    """Mean prompt tokens of a request."""
    return sum(kind.share * kind.prompt for kind in mix)


def mean_output(mix: Sequence[Kind]) -> float:
    """Mean output tokens of a request."""
    return sum(kind.share * kind.output for kind in mix)


def mean_context(mix: Sequence[Kind]) -> float:
    """Mean tokens of a request, prompt and output."""
    return sum(kind.share * (kind.prompt + kind.output) for kind in mix)

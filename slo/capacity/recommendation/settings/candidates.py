"""Values of each setting that are worth a try, how they change an engine's limits, and their risk.

Settings that the simulator doesn't have, or whose effect depends on what no counter shows, are left out: the prefixes that prompts
share, the acceptance of drafts that aren't made, and the memory that weights and activations leave.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from plimsoll.slo.capacity.recommendation.settings.models import Certainty, Setting
from plimsoll.slo.capacity.simulator.request import Limits

MOST_SEQS, MOST_TOKENS = 1024, 16_384  # the largest defaults of vLLM, on the largest GPUs
FEWEST_TOKENS = 512
HALVINGS = 2  # how far down a limit is tried
FULL_BITS, FP8_BITS = 16, 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """One setting and the value that it would have."""

    setting: Setting
    current: int
    proposed: int

    @property
    def flag(self) -> str:
        """vLLM's option."""
        return "--kv-cache-dtype" if self.setting == "kv_cache_bits" else f"--{self.setting.replace('_', '-')}"

    def text(self, value: int) -> str:
        """Return a value as the option takes it."""
        if self.setting == "kv_cache_bits":
            return "fp8" if value == FP8_BITS else "auto"
        return str(value)

    def limits(self, limits: Limits) -> Limits:
        """Return the limits of an engine with the change. Blocks of half the bytes are twice as many."""
        if self.setting == "kv_cache_bits":
            return replace(limits, num_blocks=limits.num_blocks * self.current // self.proposed)
        if self.setting == "max_num_seqs":
            return replace(limits, max_num_seqs=self.proposed)
        return replace(limits, max_num_batched_tokens=self.proposed)

    @property
    def certainty(self) -> Certainty:
        """Smaller steps were seen, larger ones weren't."""
        return "calibrated" if self.setting != "kv_cache_bits" and self.proposed < self.current else "extrapolated"

    @property
    def risk(self) -> str:
        """One sentence."""
        larger = self.proposed > self.current
        if self.setting == "kv_cache_bits":
            return "Answers can lose quality, and not every GPU supports it: compare answers first."
        if self.setting == "max_num_seqs":
            more = "More requests share each step: each gets its tokens more slowly, and the KV cache fills sooner."
            return more if larger else "Requests beyond the batch wait longer for their first token."
        more = "Prompts take more of each step: tokens come less evenly, and activations take more GPU memory."
        return more if larger else "A prompt takes more steps, so its first token comes later."


def ladders(observed: Mapping[str, int]) -> list[list[Candidate]]:
    """Return candidates in ladders of one setting and direction, from the smallest change to the largest; none unless both limits of a
    step are known, as each hides the other."""
    seqs, tokens = observed.get("max_num_seqs"), observed.get("max_num_batched_tokens")
    if seqs is None or tokens is None:
        return []
    found = [
        *_both_ways("max_num_seqs", seqs, 1, min(MOST_SEQS, tokens)),
        *_both_ways("max_num_batched_tokens", tokens, max(FEWEST_TOKENS, seqs), MOST_TOKENS),
    ]
    if observed.get("kv_cache_bits") == FULL_BITS:
        found.append([Candidate("kv_cache_bits", FULL_BITS, FP8_BITS)])
    return [ladder for ladder in found if ladder]


def _both_ways(setting: Setting, value: int, least: int, most: int) -> list[list[Candidate]]:
    """Return values that double up to `most`, and that halve down to `least`."""
    up = [value << power for power in range(1, most.bit_length()) if value << power <= most]
    down = [value >> power for power in range(1, HALVINGS + 1) if value >> power >= least]
    return [[Candidate(setting, value, other) for other in values] for values in (up, down)]

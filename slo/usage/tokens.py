"""Tokens of a pool by tenant and LoRA adapter, as its gateways count them, per slot. Pure.

A gateway's label `model` is what the request asked for: the pool's model, or one of the adapters that the objectives file names. What
is not read here (requests past the gateways, tokens that a response doesn't report) is left to the engines' own counts.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from plimsoll.slo.metrics import GATEWAY_GENERATION_TOKENS, GATEWAY_PROMPT_TOKENS, GATEWAY_REQUESTS
from plimsoll.slo.sli.gateway_counts import TENANT, observations
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.spec.pool_match import Values

BASE = "none"  # the adapter of requests for the pool's model itself
OTHER = "other"
MAX_PARTS = 200  # of a slot: the rest share OTHER, so that names made up by clients can't fill the ledger
MAX_NAME_LENGTH = 200  # characters of a name; plimsoll.exporters.gateway.metrics keeps to the same
Part = tuple[str, str]  # tenant and adapter


class TokenSlot(NamedTuple):
    """Tokens of one tenant and adapter in a slot; `scrapes` of the gateways that bear on it decide which of two counts knows more."""

    slot: int
    tenant: str
    adapter: str
    input_tokens: int
    output_tokens: int
    scrapes: int


def selectors(pool: Pool) -> list[Selector]:
    """Return the series to read."""
    metrics = (GATEWAY_REQUESTS, GATEWAY_PROMPT_TOKENS, GATEWAY_GENERATION_TOKENS)
    return [Selector(metric.name, _labels(pool)) for metric in metrics]


def is_name(text: str) -> bool:
    """Return whether every database can store a name: no control characters, no unpaired surrogates."""
    return len(text) <= MAX_NAME_LENGTH and text.isprintable() and bool(text.strip())


def count_tokens(pool: Pool, series: Sequence[Series], slots: Sequence[int]) -> list[TokenSlot]:
    """Return the tokens in slots, of each tenant and adapter that had any; `series` reach beyond the slots as Observed asks."""
    wanted = selectors(pool)
    mine = [
        item for item in series if TENANT in item.labels and any(one.matches(item.name, item.labels) for one in wanted)
    ]
    observed = Observed([*mine, *observations(mine)], slots)
    sums: dict[int, dict[Part, list[int]]] = {slot: defaultdict(lambda: [0, 0]) for slot in slots}
    for item, which, slot, by in _grown(observed):
        if slot in sums:
            sums[slot][_part(pool, item)][which] += round(by)
    known = observed.knowledge()
    return [
        TokenSlot(slot, tenant, adapter, given, made, known[slot][0])
        for slot, parts in sums.items()
        for (tenant, adapter), (given, made) in _bounded(parts).items()
        if given or made
    ]


def _labels(pool: Pool) -> Values:
    return (("model", (pool.model, *pool.adapters)), *pool.match.labels)


def _part(pool: Pool, item: Series) -> Part:
    tenant, model = item.labels[TENANT], item.labels["model"]
    return tenant if is_name(tenant) else OTHER, BASE if model == pool.model else model


def _grown(observed: Observed) -> Iterator[tuple[Series, int, int, float]]:
    """Yield a series, 0 for input and 1 for output tokens, a slot, and the growth in it. Odd slots are left out: unknown."""
    kinds = {GATEWAY_PROMPT_TOKENS.name: 0, GATEWAY_GENERATION_TOKENS.name: 1}
    for unit, replica in observed.fleet.items():
        for item in observed.series[unit]:
            if item.name in kinds:
                odd = observed.odd_slots(item)
                yield from (
                    (item, kinds[item.name], slot, by) for slot, by in observed.grown(item, replica) if slot not in odd
                )


def _bounded(parts: dict[Part, list[int]]) -> dict[Part, list[int]]:
    ordered = sorted(parts.items(), key=lambda one: (-sum(one[1]), one[0]))
    found = dict(ordered[:MAX_PARTS])
    if rest := [tokens for _, tokens in ordered[MAX_PARTS:]]:
        before = found.get((OTHER, OTHER), [0, 0])
        found[OTHER, OTHER] = [sum(column) for column in zip(before, *rest, strict=True)]
    return found

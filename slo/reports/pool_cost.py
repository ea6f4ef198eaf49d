"""What a pool's tokens cost, by its slots in the ledger: all of them, prompt and generated apart, and what they would cost if full.

Ratios of sums over the slots of which nodes and both counts of tokens are known. Apart means as the source documents do it (D and G
divide the whole cost by generated tokens): the whole cost over either count. How much of it prompts caused and how much
generation did is not known of a running pool, so it is not shared out: the two must not be added up.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from typing import Any

from pydantic import BaseModel, Field

from plimsoll.slo.calendar import first_slot, rfc3339
from plimsoll.slo.capacity.model.prices import (
    MILLION,
    SECONDS_PER_HOUR,
    Prices,
    break_even_utilization,
    usd_per_million,
)
from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.reports.records import Records
from plimsoll.slo.spec.node_pricing import Node
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.usage.slots import PoolSlot

JOULES_PER_KWH = 3.6e6


class ApiCost(BaseModel):
    """Cost of the tokens at an API with a known price, over slots with complete data; null: no such slots."""

    usd: float | None = None
    usd_per_million_tokens: float | None = Field(default=None, description="USD per 1M input and output tokens.")
    break_even_utilization: float | None = Field(
        default=None,
        description="Utilization from which the pool's nodes are cheaper, 1 is full; above 1: never; null: not known.",
    )

    @classmethod
    def of(cls, usd: float, tokens: int, usd_full: float | None) -> "ApiCost":
        """Compare the price of an API for `tokens` tokens with own nodes; `usd_full` is their cost per 1M tokens at full utilization."""
        each = usd / tokens * MILLION
        even = None if usd_full is None else break_even_utilization(usd_full, each)
        return cls(usd=usd, usd_per_million_tokens=each, break_even_utilization=even)


@dataclass(frozen=True, slots=True)
class Used:
    """Node-hours, their cost in USD (None: no node price), and tokens, of the slots with complete data."""

    node_hours: float
    usd: float | None
    prompt: int
    generated: int

    @classmethod
    def of(cls, node: Node, rows: Sequence[PoolSlot]) -> "Used":
        """Sum slots with complete data."""
        known = [row for row in rows if None not in (row.nodes, row.input_tokens, row.output_tokens)]
        prompt, generated = (sum(getattr(row, name) for row in known) for name in ("input_tokens", "output_tokens"))
        return cls(node_hours(known), cost_usd(node, known), prompt, generated)

    @property
    def tokens(self) -> int:
        """Prompt and generated tokens."""
        return self.prompt + self.generated

    def usd_per_million(self, tokens: int) -> float | None:
        """Return the total cost in USD per 1M of `tokens` tokens; None without a price or tokens."""
        return self.usd / tokens * MILLION if self.usd is not None and tokens else None

    def at(self, prices: Prices, usd_full: float | None) -> dict[str, ApiCost]:
        """Return the cost of these tokens per API; `usd_full` is the cost of own nodes per 1M tokens at full utilization."""
        return {
            name: ApiCost.of(api.usd(self.prompt, self.generated), self.tokens, usd_full) if self.tokens else ApiCost()
            for name, api in prices.apis.items()
        }

    def utilization(self, node_rate: float | None) -> float | None:
        """Return tokens over the capacity of the nodes at `node_rate` tokens/s each; None without a rate or node."""
        full = self.node_hours * SECONDS_PER_HOUR * (node_rate or 0.0)
        return self.tokens / full if full else None


def node_hours(rows: Sequence[PoolSlot]) -> float:
    """Return the node-hours of the slots with known nodes."""
    return fsum(row.nodes * row.covered_seconds for row in rows if row.nodes is not None) / SECONDS_PER_HOUR


def cost_usd(node: Node, rows: Sequence[PoolSlot]) -> float | None:
    """Return the cost in USD of the slots with known nodes; None without a node price."""
    if not node.hourly_usd:
        return None
    seconds: dict[float, float] = defaultdict(float)  # by number of nodes: thousands of slots have a handful
    for row in rows:
        if row.nodes is not None:
            seconds[row.nodes] += row.covered_seconds
    return fsum(node.usd_per_hour(nodes) * span for nodes, span in seconds.items()) / SECONDS_PER_HOUR


def node_rate(pool: Pool, throughput: ReplicaThroughput | None) -> float | None:
    """Tokens per second of a full node, in the mean of the replicas that are there."""
    return None if throughput is None else throughput.mean * pool.node.replicas


def usd_when_full(pool: Pool, used: Used, throughput: ReplicaThroughput | None) -> float | None:
    """USD for 1M tokens, prompt and generated, if the nodes that were used (one on demand, if none was) had always been full; None
    without a price or capacity."""
    rate, hourly = node_rate(pool, throughput), pool.node.hourly_usd
    if used.usd is not None and used.node_hours:
        hourly = used.usd / used.node_hours
    return usd_per_million(hourly, rate) if rate and hourly else None


def joules_per_token(rows: Sequence[PoolSlot]) -> float | None:
    """Return the ratio of sums over the slots with known energy and tokens."""
    pairs = [
        (row.energy_joules, row.input_tokens + row.output_tokens)
        for row in rows
        if row.energy_joules is not None and row.input_tokens is not None and row.output_tokens is not None
    ]
    total = sum(count for _, count in pairs)
    return fsum(joules for joules, _ in pairs) / total if total else None


def carbon_kg(pool: Pool, rows: Sequence[PoolSlot]) -> float | None:
    """Return the CO2 equivalent of the GPUs' energy in kg, of the slots with known energy; None without any, or without a carbon intensity."""
    known = [row.energy_joules for row in rows if row.energy_joules is not None]
    if not known or pool.carbon_grams_per_kwh is None:
        return None
    return fsum(known) / JOULES_PER_KWH * pool.carbon_grams_per_kwh / 1000


def _price(text: str) -> Any:
    return Field(description=f"{text} null: the pool has no price, or what it takes is not known.")


class PoolCost(BaseModel):
    """What a pool cost over the last hours, in USD at the price of its nodes. What was not observed is in none of the figures."""

    pool: str
    since: str = Field(alias="from")
    until: str = Field(alias="to")
    coverage: float = Field(description="Share of that time that is booked as observed, 0 to 1.")
    node_hours: float | None = Field(description="Of the slots of which nodes and tokens are known; null: of none.")
    input_tokens: int | None = Field(description="Tokens in, of the same slots.")
    output_tokens: int | None = Field(description="Tokens out, of the same slots.")
    cost_usd: float | None = _price("Those node-hours.")
    usd_per_million_tokens: float | None = _price("That over tokens in and out.")
    usd_per_million_input_tokens: float | None = _price("The whole cost over tokens in alone.")
    usd_per_million_output_tokens: float | None = _price("The whole cost over tokens out alone.")
    utilization: float | None = Field(
        description="Tokens over those that the nodes would have done at what a full replica was measured to do; null: never seen full."
    )
    usd_per_million_tokens_at_full_utilization: float | None = _price(
        "1M tokens in and out, if these nodes were always full."
    )
    api_comparison: dict[str, ApiCost] = Field(description="By name of each API whose price is on record.")
    joules_per_token: float | None = Field(description="GPU energy over tokens in and out, where both are known.")
    carbon_kg: float | None = Field(
        description="CO2 equivalent of the GPUs' energy in kg; null: the energy or `carbon_grams_per_kwh` is not known."
    )
    simulated: bool


def cost_of(records: Records, pool: Pool, throughput: ReplicaThroughput | None, hours: int) -> PoolCost:
    """Return the cost of a pool over the last `hours`, from its recorded slots."""
    now = records.clock()
    since = first_slot(now - hours * SECONDS_PER_HOUR)
    rows = pool_rows(records.ledger.engine, pool.name, since, now)
    used = Used.of(pool.node, rows)
    seen, full = used.node_hours > 0, usd_when_full(pool, used, throughput)
    span: dict[str, Any] = {"from": rfc3339(since), "to": rfc3339(now)}
    return PoolCost(
        pool=pool.name,
        **span,
        coverage=min(1.0, fsum(row.covered_seconds for row in rows) / (now - since)),
        node_hours=used.node_hours if seen else None,
        input_tokens=used.prompt if seen else None,
        output_tokens=used.generated if seen else None,
        cost_usd=used.usd if seen else None,
        usd_per_million_tokens=used.usd_per_million(used.tokens),
        usd_per_million_input_tokens=used.usd_per_million(used.prompt),
        usd_per_million_output_tokens=used.usd_per_million(used.generated),
        utilization=used.utilization(node_rate(pool, throughput)),
        usd_per_million_tokens_at_full_utilization=full,
        api_comparison=used.at(records.prices, full),
        joules_per_token=joules_per_token(rows),
        carbon_kg=carbon_kg(pool, rows),
        simulated=any(row.simulated for row in rows),
    )

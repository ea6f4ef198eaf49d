"""Cost and tokens of a pool by tenant, LoRA adapter and team, which add up to the pool's whole exactly.

Tokens are those of the engines. Gateways state whose they were; what no gateway counted is `unattributed`. Where gateways counted
more than the engines (an answer from their cache, a request that ended in the window and was generated before), their counts are scaled down to
the engines'. The cost of idle capacity is apart; the rest is shared by tokens, input and output alike. Dollars are shared in millionths.
"""

from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, Field

from plimsoll.slo.capacity.model.prices import MILLION
from plimsoll.slo.ledger.usage import token_sums
from plimsoll.slo.reports.measured_states import throughput_before
from plimsoll.slo.reports.pool_cost import Used, cost_usd, node_rate
from plimsoll.slo.reports.records import Records
from plimsoll.slo.spec.objectives import Pool
from plimsoll.slo.usage.slots import PoolSlot
from plimsoll.slo.usage.tokens import Part


class Share(BaseModel):
    """Tokens, and their cost without idle capacity."""

    input_tokens: int
    output_tokens: int
    cost_usd: float | None = Field(description="USD. `null`: the pool has no price.")


class Split(BaseModel):
    """Shares by name, the largest first, and the rest. With `idle_usd` they add up to the pool's tokens and cost."""

    shares: dict[str, Share]
    unattributed: Share


class Showback(BaseModel):
    """A pool's tokens and cost by who used them."""

    input_tokens: int = Field(description="Input tokens, as the engines count them.")
    output_tokens: int = Field(description="Output tokens, as the engines count them.")
    cost_usd: float | None = Field(description="Cost of the pool's node-hours in USD. `null`: the pool has no price.")
    idle_usd: float | None = Field(
        description="Cost of the capacity that wasn't used. `null`: no replica has been saturated, so it is in the shares."
    )
    tenants: Split = Field(description="By tenant, as gateways name them; `none`: requests without one.")
    adapters: Split = Field(description="By LoRA adapter; `none`: the pool's model itself.")
    teams: Split | None = Field(
        description="By team. Tenants of no team are unattributed. `null`: the objectives file has no `teams`."
    )


Row = tuple[int, int, int]  # input tokens, output tokens, millionths of a dollar


def showback(records: Records, pool: Pool, rows: Sequence[PoolSlot], span: tuple[float, float]) -> Showback | None:
    """Return the split over a span of time (Unix seconds) with its slots; None where gateways counted no token."""
    counted = token_sums(records.ledger.engine, pool.name, *span)
    if not counted:
        return None
    used, throughput = Used.of(pool.node, rows), throughput_before(records.ledger, pool.name, span[1])
    whole, utilization = _millionths(cost_usd(pool.node, rows)), used.utilization(node_rate(pool, throughput))
    known = _millionths(used.usd)
    idle = 0 if utilization is None else round(known * max(0.0, 1 - utilization))
    tokens = [
        _fitted(total, [one[kind] for one in counted.values()])
        for kind, total in enumerate((used.prompt, used.generated))
    ]
    weights = [sum(one) for one in zip(*tokens, strict=True)]
    money = apportion(known - idle, [*weights, used.tokens - sum(weights)])[:-1]
    found = dict(zip(counted, zip(*tokens, money, strict=True), strict=True))
    priced, total = bool(pool.node.hourly_usd), (used.prompt, used.generated, whole - idle)

    def split(name: Callable[[Part], str | None]) -> Split:
        return _split(found, total, priced, name)

    team = {tenant: one.name for one in records.spec.teams for tenant in one.tenants}
    return Showback(
        input_tokens=used.prompt,
        output_tokens=used.generated,
        cost_usd=whole / MILLION if priced else None,
        idle_usd=idle / MILLION if priced and utilization is not None else None,
        tenants=split(lambda part: part[0]),
        adapters=split(lambda part: part[1]),
        teams=split(lambda part: team.get(part[0])) if records.spec.teams else None,
    )


def apportion(total: int, weights: Sequence[int]) -> list[int]:
    """Share a whole number by weights into whole numbers that add up to it (largest remainder); nothing by weights of 0."""
    if not (whole := sum(weights)):
        return [0] * len(weights)
    found = [total * weight // whole for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda one: -(total * weights[one] % whole))
    for one in by_rest[: total - sum(found)]:
        found[one] += 1
    return found


def _fitted(total: int, counted: Sequence[int]) -> list[int]:
    return list(counted) if sum(counted) <= total else apportion(total, counted)


def _millionths(usd: float | None) -> int:
    return round((usd or 0.0) * MILLION)


def _split(found: Mapping[Part, Row], total: Row, priced: bool, name: Callable[[Part], str | None]) -> Split:
    sums: dict[str, Row] = {}
    for part, row in found.items():
        if (key := name(part)) is not None:
            sums[key] = _plus(sums.get(key, (0, 0, 0)), row)
    given, made, money = (sum(column) for column in zip((0, 0, 0), *sums.values(), strict=True))
    rest = (total[0] - given, total[1] - made, total[2] - money)
    ordered = sorted(sums.items(), key=lambda one: (-one[1][2], -one[1][0] - one[1][1], one[0]))
    return Split(shares={key: _share(row, priced) for key, row in ordered}, unattributed=_share(rest, priced))


def _plus(one: Row, other: Row) -> Row:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _share(row: Row, priced: bool) -> Share:
    return Share(input_tokens=row[0], output_tokens=row[1], cost_usd=row[2] / MILLION if priced else None)

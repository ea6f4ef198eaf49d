"""When budgets run out, from the ledger: what leaves each window when, and how the last days went (plimsoll.slo.error_budget.exhaustion)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Connection, Executable, bindparam, cast, func, select

from plimsoll.slo.calendar import SLOT, first_slot, slot_of
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.error_budget.exclusions import Exclusion, Stretch, clipped, stretches
from plimsoll.slo.error_budget.exhaustion import BLOCK, PER_DAY, SPREAD_DAYS, Exhaustion, exhaustion
from plimsoll.slo.ledger.rollup import DAY, HOUR
from plimsoll.slo.ledger.schema import rollups, slots
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.spec.objectives import Window
from plimsoll.slo.spec.window_bounds import bounds

Span = tuple[float, float]
Sums = NDArray[np.int64]  # (objective, piece, what): good, total and milliseconds observed


def exhaustions(
    ledger: Ledger, budgets: Iterable[Budget], exclusions: Sequence[Exclusion], now: float
) -> dict[str, Exhaustion]:
    """Return the time to exhaustion of each budget at `now`, without excluded time, by objective."""
    groups: dict[tuple[str, tuple[Stretch, ...]], list[Budget]] = defaultdict(list)
    for budget in budgets:
        groups[str(budget.objective.window), stretches(exclusions, budget.objective)].append(budget)
    found: dict[str, Exhaustion] = {}
    with ledger.engine.connect() as connection:
        for (_, excluded), group in groups.items():
            found |= _group(connection, group, excluded, now)
    return found


def _group(
    connection: Connection, budgets: Sequence[Budget], excluded: Sequence[Stretch], now: float
) -> dict[str, Exhaustion]:
    """Return `exhaustions` of budgets with one window and the same exclusions."""
    window, names = budgets[0].objective.window, [budget.objective.id for budget in budgets]
    blocks = _blocks(connection, names, excluded, now)
    if window.calendar is not None:
        ends_in, times, left = bounds(window, now)[1] - now, np.zeros(0), np.zeros((len(names), 0, 3), np.int64)
    else:
        ends_in = None
        times, left = _leaving(connection, names, window, excluded, now)
    times = np.append(times, window.seconds)  # the rest leaves by the end of the window
    found = {}
    for budget, recent, sums in zip(budgets, blocks, left, strict=True):
        pieces = np.column_stack([sums[:, 1] - sums[:, 0], sums[:, 1]])
        rest = np.array([budget.counted.bad, budget.counted.total]) - pieces.sum(axis=0)
        leaving = np.column_stack([times, np.vstack([pieces, rest])])
        found[budget.objective.id] = exhaustion(budget.objective, budget.counted, leaving, recent, ends_in)
    return found


def _blocks(
    connection: Connection, names: Sequence[str], excluded: Sequence[Stretch], now: float
) -> NDArray[np.float64]:
    """Per objective the blocks of the last days that plimsoll.slo.error_budget.exhaustion asks for; the newest ends with the hour."""
    end = slot_of(now) + SLOT
    top = -(-end // HOUR) * HOUR
    low = top - SPREAD_DAYS * PER_DAY * BLOCK
    away = _merged([*clipped(excluded, low, top), (end, top)])
    sums = _read(connection, names, (HOUR, low, top), BLOCK, away)
    starts = low + BLOCK * np.arange(sums.shape[1])
    counts = np.full(len(starts), float(BLOCK))
    for begin, stop in _merged([*clipped(excluded, low, top), (now, top)]):
        counts -= np.clip(np.minimum(starts + BLOCK, stop) - np.maximum(starts, begin), 0, None)
    bad, total, observed = sums[..., 1] - sums[..., 0], sums[..., 1], sums[..., 2] / 1000
    return np.stack([bad, total, observed, np.broadcast_to(counts, bad.shape)], axis=-1)


def _leaving(
    connection: Connection, names: Sequence[str], window: Window, excluded: Sequence[Stretch], now: float
) -> tuple[NDArray[np.float64], Sums]:
    """Return in how many seconds each piece of a rolling window will have left it, and the pieces of each objective, but for the
    last: whole hours for a day and more, then whole days of UTC.
    """
    start, end = first_slot(now - window.seconds), slot_of(now) + SLOT
    hours, days = start // HOUR * HOUR, -(-(start + DAY) // DAY) * DAY
    last = max(days, end // DAY * DAY)
    away = _merged([*clipped(excluded, hours, last), (hours, start), (end, max(end, last))])
    by_hour = _read(connection, names, (HOUR, hours, days), HOUR, away)
    by_day = _read(connection, names, (DAY, days, last), DAY, away)
    ends = np.concatenate([np.arange(hours, days, HOUR) + HOUR, np.arange(days, last, DAY) + DAY])
    return np.minimum(ends - now, 0) + window.seconds, np.concatenate([by_hour, by_day], axis=1)


def _read(
    connection: Connection, names: Sequence[str], of: tuple[int, int, int], stride: int, away: Sequence[Span]
) -> Sums:
    """Sum good, total and milliseconds of each objective within each `stride` seconds of `of` = (size, from, to), from hours or
    days, without the slots that are `away`."""
    size, low, high = of
    found: Sums = np.zeros((len(names), (high - low) // stride, 3), np.int64)
    index = {name: number for number, name in enumerate(names)}
    reads = [(1, size, low, high), *((-1, SLOT, max(int(a), low), min(int(b), high)) for a, b in away)]
    for sign, of_size, begin, end in reads:
        values = {"names": list(names), "size": of_size, "origin": low, "stride": stride, "low": begin, "high": end}
        rows = connection.execute(_sums(of_size == SLOT), values).all()
        if rows:
            objectives, starts, *sums = zip(*rows, strict=True)
            place = [index[name] for name in objectives], (np.array(starts) - low) // stride
            found[place] += sign * np.array(sums, np.int64).T
    return found


@cache
def _sums(of_slots: bool) -> Executable:
    at, table = (slots.c.slot, slots) if of_slots else (rollups.c.start, rollups)
    begin = at - (at - bindparam("origin", type_=BigInteger)) % bindparam("stride", type_=BigInteger)
    sums = [cast(func.sum(table.c[name]), BigInteger) for name in ("good", "total", "covered_ms")]
    query = select(table.c.objective, begin, *sums).group_by(table.c.objective, begin)
    query = query.where(
        table.c.objective.in_(bindparam("names", expanding=True)), at >= bindparam("low"), at < bindparam("high")
    )
    return query if of_slots else query.where(rollups.c.size == bindparam("size"))


def _merged(stretches: Iterable[Span]) -> list[Span]:
    """The same time as stretches that do not touch."""
    found: list[Span] = []
    for low, high in sorted(stretches):
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], high)
        elif low < high:
            found.append((low, high))
    return found

"""Forty minutes of a pool with a burst and a restart, counted into the pool's slots."""

from plimsoll.slo import metrics as c
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.sli.increments import MAX_GAP, pad
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series
from plimsoll.slo.usage.slots import PoolSlot, count_pool
from pool_world import SPEC, Life, PoolWorld, asks
from recorded import Recorded

T0 = 1_700_000_100.0  # a slot's start


POOL = SPEC.pools[0]


SLOTS = [int(T0) + SLOT * i for i in range(8)]


END = T0 + 8 * SLOT + MAX_GAP


def every(start: float, end: float, step: float = 15.0) -> list[float]:
    return [start + step * i for i in range(int((end - start) / step) + 1)]


def busy(stagger: float = 7.0) -> PoolWorld:
    """Forty minutes: a burst on both replicas, of which b is started again in its midst; both are scraped every 15 s."""
    burst = (T0 + 610, T0 + 1190)
    first = Life(T0 - 86400, [a for a in asks(2, T0 - 400, END, 2, burst) if a.arrive < T0 + 1000], end=T0 + 1000)
    second = Life(T0 + 1050, [a for a in asks(3, T0 - 400, END, 2, burst) if a.arrive > T0 + 1050])
    lives = {"a": [Life(T0 - 5e5, asks(1, T0 - 400, END, 3, burst))], "b": [first, second]}
    scrapes = {"a": every(T0 - MAX_GAP + 5, END), "b": every(T0 - MAX_GAP + 5 + stagger, END)}
    return PoolWorld(lives, scrapes, {"a": 400.0, "b": 350.0})


BUSY = busy()


def count(world: PoolWorld | list[Series], slots: list[int] = SLOTS) -> list[PoolSlot]:
    low, high = pad(slots)
    source = Recorded(world if isinstance(world, list) else world.series())
    gpus = [item for item in source.recorded if item.name in (c.GPU_ENERGY.name, c.GPU_ASSIGNMENT.name)]
    cut = [Series(n, labels, [s for s in samples if low < s[0] <= high]) for n, labels, samples in source.recorded]
    return count_pool(Observed(cut, slots), POOL, gpus)

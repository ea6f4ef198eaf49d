"""Two hours of two replicas with a restart, a late start and a hole of ten minutes, and the ledger's rows of them."""

from plimsoll.slo.ledger.slots import Ledger
from world import Process, World

T0 = 1_700_000_100.0


END = T0 + 7200


def busy_world() -> World:
    """Two hours: two replicas, one restart, one late birth, a hole of ten minutes for one of them."""
    requests = [(T0 + 3.1 * i, i % 7 != 0) for i in range(2000)]
    first = Process(T0 - 86400, [r for r in requests if r[0] < T0 + 3000], end=T0 + 3001)
    second = Process(T0 + 3060, [r for r in requests if r[0] > T0 + 3060])
    born = Process(T0 + 1000, [(T0 + 1001, False)] * 7 + [(T0 + 1000 + 5 * i, True) for i in range(1, 1300)])
    scrapes = [T0 - 600 + 15 * i for i in range(540)]
    holed = [at for at in scrapes if not T0 + 4000 < at < T0 + 4600]
    return World({"a": [first, second], "b": [born]}, {"a": scrapes, "b": holed})


def rows(ledger: Ledger) -> list[tuple[object, ...]]:
    return [tuple(row) for row in ledger.slots("fast", 0, 1e12)]


WORLD = busy_world()

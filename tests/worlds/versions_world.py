"""Replicas of two versions whose every request is known: what was scraped of them, and what they finished."""

from random import Random

from plimsoll.slo import metrics as c
from plimsoll.slo.sources import Series

T0 = 1_700_000_100.0
END = T0 + 7200
BOUNDS = (0.1, 0.25, 0.6, 1.0, 2.5, float("inf"))
UPGRADE = T0 + 3000


def requests(seed: int, slow: float) -> list[tuple[float, float]]:
    """(finished at, seconds to the first token): a share of them slow."""
    random = Random(seed)  # noqa: S311 - a fixed sequence
    times = sorted(random.uniform(T0, END) for _ in range(3000))
    return [(at, random.uniform(0.61, 2.0) if random.random() < slow else random.uniform(0.05, 0.59)) for at in times]


def engine(replica: str, version: str, served: list[tuple[float, float]], start: float, end: float) -> list[Series]:
    """What was scraped every 15 s of one process: counts by bucket, of its own requests only."""
    labels = {
        "replica": replica,
        "model": "m",
        "engine": "vllm",
        "instance": f"{replica}:9800",
        "zone": f"zone-{replica}",
    }
    times = [T0 - 300 + 15 * i for i in range(int(END - T0 + 300) // 15 + 1)]
    times = [at for at in times if start <= at < end]
    mine = [one for one in served if start < one[0] < end]
    found = [
        Series(c.REPLICA_START.name, labels, [(at, start) for at in times]),
        Series(c.REPLICA_INFO.name, {**labels, "version": version, "simulated": "false"}, [(at, 1.0) for at in times]),
    ]
    for bound in BOUNDS:
        counts = [(at, float(sum(when <= at and ttft <= bound for when, ttft in mine))) for at in times]
        found.append(Series(c.TTFT.bucket, {**labels, "rank": "0", "le": c.bucket_bound(bound)}, counts))
    found.append(Series(c.TTFT.count, {**labels, "rank": "0"}, found[-1].samples))
    return found


def counted(served: list[tuple[float, float]], start: float, end: float) -> tuple[int, int]:
    """(good, total) of what a process finished by its last scrape."""
    last = max(T0 - 300 + 15 * i for i in range(600) if T0 - 300 + 15 * i < end and T0 - 300 + 15 * i <= END)
    mine = [ttft for at, ttft in served if start < at <= last]
    return sum(ttft <= 0.6 for ttft in mine), len(mine)

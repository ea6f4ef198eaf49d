"""A month whose truth is known to the request and the second: every slot of the ledger equals it, whatever happened.

The truth is kept as one number per replica and second, so it shares no code and no thought with the ledger: what a replica
served in that second, whether somebody watched it then, and whether it was known to be there.
"""

import contextlib
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import event

from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.evaluation import evaluate
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import OBJECTIVE_REQUESTS, REPLICA_START
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.spec.objectives import load
from recorded import Recorded
from world import SPEC_TEXT

HOUR, DAY = 3600, 86400
DAYS = 30
BEGIN = 1_699_920_000  # midnight of 2023-11-14, UTC
SECONDS = DAYS * DAY
SCRAPE = 60
SPEC = load(SPEC_TEXT.replace("window: 28d", f"window: {DAYS}d"))
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass
class Replica:
    """Second by second: requests served, whether they were good, and the births of its processes; and when it was scraped."""

    births: list[int]
    death: int = SECONDS
    good: Counts = field(default_factory=lambda: np.zeros(SECONDS, np.int64))
    bad: Counts = field(default_factory=lambda: np.zeros(SECONDS, np.int64))
    scraped: list[int] = field(default_factory=list)

    def lives(self) -> Iterator[tuple[int, int]]:
        """Yield (birth, death) of each process. A new one begins a minute after the last one died."""
        deaths = [birth - 61 for birth in self.births[1:]] + [self.death]
        yield from zip(self.births, deaths, strict=True)

    def watched_and_known(self) -> tuple[Flags, Flags]:
        """Second by second: was it seen by a scrape before and after (or since birth), and was it known to be there."""
        watched, known = np.zeros(SECONDS, bool), np.zeros(SECONDS, bool)
        birth_of = {at: birth for birth, death in self.lives() for at in self.scraped if birth < at <= death}
        before: int | None = None
        for at in self.scraped:
            birth = birth_of[at]
            if before is not None and at - before <= 300:
                known[before:at] = True
                watched[max(before, birth) : at] = True
            elif at - birth <= 300:
                known[birth:at] = watched[birth:at] = True
            before = at
        return watched, known


def load_of(second: Counts) -> Counts:
    """20 requests a second for 10 hours of the day, one every two seconds for the other 14; an idle hour on the fifth day."""
    hour = second % DAY // HOUR
    served = np.where((hour >= 8) & (hour < 18), 20, (second % 2 == 0).astype(np.int64))
    served[4 * DAY + 4 * HOUR : 4 * DAY + 5 * HOUR] = 0
    return served


def month() -> list[Replica]:
    """Three pods: one that restarts now and then, one that is steady, and one that lives for two days and fails at once."""
    seconds = np.arange(SECONDS)
    a = Replica([-DAY, *(d * DAY + h * HOUR + 137 for d, h in ((3, 9), (3, 10), (8, 3), (16, 12), (19, 23), (26, 17)))])
    b = Replica([-5 * DAY])
    c = Replica([12 * DAY + 11 * HOUR + 7], 14 * DAY + 30)
    served = load_of(seconds)
    # Outages at peak and at night: an hour each, everything is bad.
    failing = np.zeros(SECONDS, bool)
    for day, hour in ((10, 12), (20, 2)):
        failing[day * DAY + hour * HOUR : day * DAY + (hour + 1) * HOUR] = True
    for index, replica in enumerate((a, b, c)):
        alive = np.zeros(SECONDS, bool)
        for birth, death in replica.lives():
            alive[max(0, birth) : death] = True
        share = np.where(alive & (seconds % 3 == index), served, 0)
        replica.bad = np.where(failing | (seconds % 997 < 3), share, 0)
        replica.good = share - replica.bad
        # Scrapes stand on whole minutes. For two days nobody scrapes; one in fifty is missed, and once six in a row.
        random = Random(index)  # noqa: S311 - a fixed sequence
        replica.scraped = [
            at
            for at in range(0, SECONDS, SCRAPE)
            if any(birth < at <= death for birth, death in replica.lives())
            and not 22 * DAY + 1000 < at < 24 * DAY + 1000
            and not 6 * DAY < at <= 6 * DAY + 6 * SCRAPE
            and (random.random() > 0.02 or at % SLOT == 0)
        ]
    c.bad[c.births[0] + 1] += 7  # born with seven errors
    return [a, b, c]


def recorded(replicas: list[Replica]) -> list[Series]:
    """Return what a Prometheus scraped of them: counters that begin at 0 with each process, and its start time."""
    found = []
    for name, replica in zip("abc", replicas, strict=True):
        labels = {"replica": name, "model": "m", "engine": "vllm", "instance": "node:9800"}
        starts, counts = [], {"good": [], "bad": []}  # type: ignore[var-annotated]
        sums = {"good": np.cumsum(replica.good), "bad": np.cumsum(replica.bad)}
        for birth, death in replica.lives():
            base = {outcome: int(total[birth - 1]) if birth > 0 else 0 for outcome, total in sums.items()}
            for at in replica.scraped:
                if birth < at <= death:
                    starts.append((float(BEGIN + at), float(BEGIN + birth)))
                    for outcome, total in sums.items():
                        count = float((total[at - 1] if at else 0) - base[outcome])
                        counts[outcome].append((float(BEGIN + at), count))
        found.append(Series(REPLICA_START.name, labels, starts))
        for outcome, samples in counts.items():
            mine = {**labels, "rank": "0", "objective": "fast", "outcome": outcome}
            found.append(Series(OBJECTIVE_REQUESTS.name, mine, samples))
    return found


def truth(replicas: list[Replica]) -> dict[int, tuple[int, int, float]]:
    """Return good, total and covered seconds of every slot that was watched at all."""
    good, total = np.zeros(SECONDS, np.int64), np.zeros(SECONDS, np.int64)
    watching, knowing = np.zeros(SECONDS), np.zeros(SECONDS)
    for replica in replicas:
        watched, known = replica.watched_and_known()
        good += np.where(watched, replica.good, 0)
        total += np.where(watched, replica.good + replica.bad, 0)
        watching += watched
        knowing += known
    covered = np.divide(watching, knowing, out=np.zeros(SECONDS), where=knowing > 0)
    slots = (array.reshape(-1, SLOT).sum(axis=1) for array in (good, total, covered))
    rows = enumerate(zip(*slots, strict=True))
    return {BEGIN + index * SLOT: (int(g), int(t), round(float(s), 3)) for index, (g, t, s) in rows if s > 0 or t > 0}


def run_an_hour(url: str, source: Recorded, hour: int) -> None:
    """In a process of its own: book, and die by SIGKILL at some statement of it, or after it."""
    random = Random(hour)  # noqa: S311 - a fixed sequence
    pid = os.fork()
    if pid == 0:
        ledger = Ledger(open_database(url))
        left = [random.randrange(1, 24)]  # half of them within the booking, half after it

        def countdown(*_: object) -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(ledger.engine, "before_cursor_execute", countdown)
        source.now = BEGIN + (hour + random.random()) * HOUR
        source.down = random.random() < 0.1
        with contextlib.suppress(SourceError):
            ingest(SPEC, source, ledger, source.now)
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_thirty_days_with_a_kill_every_hour_equal_the_truth(
    database: str, open_ledger: Callable[[str], Ledger]
) -> None:
    replicas = month()
    samples = recorded(replicas)
    random = Random(7)  # noqa: S311 - a fixed sequence
    late = {(i, at) for i, item in enumerate(samples) for at, _ in item.samples if random.random() < 0.01}
    source = Recorded(samples, delay=600.0, late=late, twice=True)
    open_ledger(database)
    every = 1 if database.startswith("sqlite") else 12  # hours; once is enough to see the other database do it too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork: the child opens a database of its own
        for hour in range(0, DAYS * 24, every):
            if not 40 <= hour % 240 < 45:  # the service itself is away for five hours, every ten days
                run_an_hour(database, source, hour)
    ledger, now = open_ledger(database), float(BEGIN + SECONDS)
    source.now, source.down = now + 1000, False
    ingest(SPEC, source, ledger, now)

    expected = truth(replicas)
    booked = {slot.slot: (slot.good, slot.total, slot.covered_seconds) for slot in ledger.slots("fast", 0, 1e12)}
    assert booked == expected
    # Where everything was watched it is every request that was served, whatever the ledger may have thought. The one
    # slot left out is the last of the pod that went for good: what it did after its last scrape, nobody saw.
    gone = BEGIN + replicas[2].death // SLOT * SLOT
    whole = [slot for slot, (_, _, seconds) in expected.items() if seconds == SLOT and slot != gone]
    served = sum((replica.good + replica.bad).reshape(-1, SLOT).sum(axis=1) for replica in replicas)
    assert {slot: booked[slot][1] for slot in whole} == {slot: int(served[(slot - BEGIN) // SLOT]) for slot in whole}
    assert len(whole) > 0.9 * 28 * 288

    (budget,) = evaluate(ledger, SPEC.objectives, [], now)
    assert budget.counted.good == sum(good for good, _, _ in expected.values())
    assert budget.counted.total == sum(total for _, total, _ in expected.values())
    covered = sum(round(seconds * 1000) for _, _, seconds in expected.values())
    assert budget.coverage == covered / 1000 / SECONDS
    assert 0.92 < budget.coverage < 0.94

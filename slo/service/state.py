"""What the service knows: the ledger, the last answers, and how its own work is going."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from threading import Lock

from sqlalchemy.exc import SQLAlchemyError

from slo.budget import NOTHING, Budget, Counted, budget, burn_windows
from slo.capacity import plan, signals
from slo.capacity.recommend import Recommendation, recommend
from slo.ledger.ingest import ingest
from slo.ledger.store import Ledger, Sums
from slo.sources import Source, SourceError
from slo.sources.scrape import ScrapeSource
from slo.spec import Objective, Pool, Spec
from slo.windows import bounds, slot_of

log = logging.getLogger("plimsoll.service")
READY_LAG = 120.0  # seconds without a successful ingest after which the service calls itself not ready


class Service:
    """Books, judges and recommends; every method may be called from any thread."""

    def __init__(self, spec: Spec, source: Source, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds; tests pass their own."""
        self.spec, self.source, self.ledger, self.clock = spec, source, ledger, clock
        self.booked_at: float | None = None
        self.trouble: dict[str, str] = {}
        self._recommendations: dict[str, Recommendation] = {}
        self._booking = Lock()

    def scrape(self) -> None:
        """Job: read the exporters, where the service does so itself."""
        if isinstance(self.source, ScrapeSource):
            self._try("scrape", self.source.scrape)

    def ingest(self) -> None:
        """Job: book what is new into the ledger."""
        with self._booking:
            now = self.clock()
            if self._try("ingest", lambda: ingest(self.spec, self.source, self.ledger, now)):
                self.booked_at = now

    def recommend(self) -> None:
        """Job: decide for every pool, and keep what is new."""
        for pool in self.spec.pools:
            self._try(f"recommend {pool.name}", lambda pool=pool: self._recommend(pool))  # type: ignore[misc]

    def _recommend(self, pool: Pool) -> None:
        now = self.clock()
        span = max(signals.MEMORY, pool.timing.scale_in_hold) + signals.STALE
        try:
            series = self.source.series(signals.selectors(pool), now - span, now)
        except SourceError as error:
            reason = f"the source does not answer, so nothing is known and nothing is changed: {error}"
            self._recommendations[pool.name] = Recommendation(
                pool.name, "insufficient_data", 0, None, None, [reason], {}, 0.0, now
            )
            raise
        last = self._recommendations.get(pool.name)
        new = recommend(pool, signals.read(series, now), now, plan.promise(self.spec, pool), last=last)
        self._recommendations[pool.name] = new
        if last is None or (last.action, last.recommended_nodes) != (new.action, new.recommended_nodes):
            self.ledger.remember(pool.name, now, asdict(new))

    def recommendation(self, pool: str) -> Recommendation:
        """Return the last recommendation for a pool."""
        nothing = ["the service has just started and has not looked at this pool yet"]
        empty = Recommendation(pool, "insufficient_data", 0, None, None, nothing, {}, 0.0, self.clock())
        return self._recommendations.get(pool, empty)

    def budgets(self, only: str | None = None) -> list[Budget]:
        """Judge all objectives, or one, from the ledger as it stands now."""
        now = self.clock()
        chosen = [objective for objective in self.spec.objectives if only in (None, objective.id)]
        sums: dict[float, dict[str, Sums]] = {}

        def since(start: float, objective: Objective) -> Counted:
            if start not in sums:
                sums[start] = self.ledger.sums(slot_of(start), now, only)
            found = sums[start].get(objective.id)
            return NOTHING if found is None else Counted(*found)

        judged = []
        for objective in chosen:
            start, _ = bounds(objective.window, now)
            recent = {length: since(now - length, objective) for length in burn_windows(objective)}
            judged.append(budget(objective, since(start, objective), now - start, recent))
        return judged

    @property
    def embedded(self) -> bool:
        """Whether the service scrapes the exporters itself."""
        return isinstance(self.source, ScrapeSource)

    def not_ready(self) -> list[str]:
        """Return why the service should not be asked yet; empty when it is ready."""
        reasons = [f"{job}: {message}" for job, message in self.trouble.items()]
        if self.booked_at is None:
            reasons.append("ingest: nothing has been booked since the start")
        elif self.clock() - self.booked_at > READY_LAG:
            reasons.append(f"ingest: the last booking was {self.clock() - self.booked_at:.0f} s ago")
        return reasons

    def _try(self, job: str, work: Callable[[], None]) -> bool:
        """Run a job alone: its failure is kept, logged once per message, and cleared by its next success."""
        try:
            work()
        except (SourceError, SQLAlchemyError) as error:
            message = " ".join(str(error).split())
            if self.trouble.get(job) != message:
                log.error("%s failed: %s", job, message)
            self.trouble[job] = message
            return False
        if self.trouble.pop(job, None):
            log.info("%s works again", job)
        return True

"""What the service knows: the ledger, the last answers, and how its own work is going."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from threading import Lock

from sqlalchemy.exc import SQLAlchemyError

from plimsoll.slo.calendar import WEEK
from plimsoll.slo.capacity.model import signals
from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.attainment_simulation import calibrated
from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.capacity.recommendation.models import Reason, Recommendation, no_data
from plimsoll.slo.capacity.recommendation.recommend import Decision, recommend
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.error_budget.exhaustion import Exhaustion
from plimsoll.slo.ledger.database import reason
from plimsoll.slo.ledger.evaluation import evaluate
from plimsoll.slo.ledger.exhaustion_inputs import exhaustions
from plimsoll.slo.ledger.ingest import FINAL_AFTER, ingest
from plimsoll.slo.ledger.leader import Leader
from plimsoll.slo.ledger.retention import prune
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.calibration import kept_fit
from plimsoll.slo.reports.measured_states import newest_state, save_state
from plimsoll.slo.reports.records import Records
from plimsoll.slo.reports.slo_status import Slo
from plimsoll.slo.service.webhook import Webhook
from plimsoll.slo.sources import Source, SourceError
from plimsoll.slo.spec.objectives import Objective, Pool, Spec

log = logging.getLogger("plimsoll.service")
TELL_AGAIN = 60.0  # seconds after which it is worked out again when budgets run out
RENEW = 10.0  # seconds after which budgets are evaluated again
READY_LAG = 120.0  # seconds without a successful ingest after which the service calls itself not ready


@dataclass(frozen=True)
class Evaluation:
    """All budgets by objective id, in the objectives file's order, as they stood at a moment (Unix seconds), without `exclusions`.

    `exhaustions` say when each runs out, as told at `told_at`; `pages` keeps what the API has written of them.
    """

    at: float
    budgets: dict[str, Budget]
    exhaustions: dict[str, Exhaustion]
    told_at: float
    exclusions: Sequence[Exclusion] = ()
    pages: dict[tuple[str, int], str] = field(default_factory=dict)

    @cached_property
    def shown(self) -> dict[str, Slo]:
        """The API's objects, made once: a thousand of them take longer than an answer should."""
        return {name: Slo.of(budget, self.exhaustions[name]) for name, budget in self.budgets.items()}

    def tells(self, at: float, budgets: dict[str, Budget], exclusions: Sequence[Exclusion]) -> bool:
        """Whether what it says of exhaustion still holds a little later: of these budgets the same ones are spent."""
        spent = (self.exhaustions[name].state == "exhausted" for name in budgets)
        same = all(one == (budget.status == "exhausted") for one, budget in zip(spent, budgets.values(), strict=True))
        return self.told_at < at < self.told_at + TELL_AGAIN and same and self.exclusions == exclusions


class Service:
    """Books, evaluates and recommends; every method may be called from any thread."""

    keep_slots = 400 * 86400.0  # seconds: a year, and time to look at it

    def __init__(self, spec: Spec, source: Source, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives Unix seconds; tests pass their own."""
        self.spec, self.source, self.ledger, self.clock = spec, source, ledger, clock
        self.leader = Leader(ledger.engine)
        self.records = Records(spec, ledger, clock)
        self.booked_at: float | None = None
        self.trouble: dict[str, str] = {}
        self.watch: Callable[[str], AbstractContextManager[object]] = (
            nullcontext  # around each job; telemetry sets its own
        )
        self.webhook: Webhook | None = None
        self._decisions: dict[str, Decision] = {}
        self._judged: Evaluation | None = None
        self._booking = Lock()

    def scrape(self) -> None:
        """Job: read the exporters, where the service does so itself and leads."""
        if isinstance(self.source, ScrapeSource) and self.leader.leads():
            self.attempt("scrape", self.source.scrape)

    def ingest(self) -> None:
        """Job: book what is new into the ledger; where another service leads, see that it does."""
        with self._booking:
            now = self.clock()
            if not self.leader.leads():
                self.attempt("follow", lambda: self._follow(now))
            elif self.attempt("ingest", lambda: ingest(self.spec, self.source, self.ledger, now)):
                self.booked_at = now
            self.attempt("evaluate", self.evaluate)

    def _follow(self, now: float) -> None:
        booked = self.ledger.recorded_until()
        if all(booked.get(objective.id, 0) > now - FINAL_AFTER - READY_LAG for objective in self.spec.objectives):
            self.booked_at = now

    def recommend(self) -> None:
        """Job: decide for every pool, and store what changed."""
        for pool in self.spec.pools:
            self.attempt(f"recommend {pool.name}", lambda pool=pool: self._recommend(pool))  # type: ignore[misc]
        if self.webhook is not None and self.leader.leads():
            self.webhook.tell([self.recommendation(pool.name) for pool in self.spec.pools])

    def _recommend(self, pool: Pool) -> None:
        now = self.clock()
        span = max(signals.MEMORY, pool.timing.scale_in_stabilization) + signals.STALE
        target = latency_target(self.spec, pool, self._judged.budgets if self._judged else None)
        try:
            series = self.source.series(signals.selectors(pool), now - span, now)
        except SourceError as error:
            reason = Reason("source_unavailable", f"No data: source unavailable: {error}. No change recommended.")
            self._decisions[pool.name] = Decision(no_data(pool.name, now, reason, target), None)
            raise
        # From the ledger, not from memory: a service that just started, or takes over, decides as the one before it.
        state, fitted = newest_state(self.ledger, pool.name, now), kept_fit(self.ledger.engine, pool)
        engine = calibrated(fitted) if fitted else None
        last = self._decisions.get(pool.name)
        new = recommend(pool, signals.read(series, now), now, target, state, engine)
        self._decisions[pool.name] = new
        if self.leader.leads():
            self._store(pool.name, new, last)

    def _store(self, pool: str, new: Decision, last: Decision | None) -> None:
        """Store the state that the next decision needs, and the recommendation where it changed."""
        found, body = new.recommendation, None
        if new.state is not None:
            save_state(self.ledger, pool, new.state)
            body = new.state.to_json()
        before = None if last is None else (last.recommendation.action, last.recommendation.recommended_nodes)
        if before != (found.action, found.recommended_nodes):
            self.ledger.save_recommendation(pool, found.at, found.model_dump(), body)

    def recommendation(self, pool: str) -> Recommendation:
        """Return the last recommendation for a pool."""
        if pool in self._decisions:
            return self._decisions[pool].recommendation
        reason = Reason("not_evaluated", "No data: the service has just started. No change recommended.")
        return no_data(pool, self.clock(), reason, latency_target(self.spec, self.spec.pool(pool)))

    def throughput(self, pool: str) -> ReplicaThroughput | None:
        """Return the saturation throughput of a pool's replicas; None where it isn't known."""
        state = self._decisions[pool].state if pool in self._decisions else None
        return None if state is None else state.throughput

    def prune(self) -> None:
        """Job: drop slots that no window reaches any more; their sums over hours and days stay."""
        if self.leader.leads():
            self.attempt("prune", self._thin)

    def _thin(self) -> None:
        objectives = self.spec.objectives
        keep = max([self.keep_slots, *(objective.window.seconds + WEEK for objective in objectives)])
        # RequestCounts back from what was seen last: a clock that runs ahead for a while must not empty the ledger.
        last = self.ledger.last([objective.id for objective in objectives], self.clock())
        if last is not None:
            prune(self.ledger.engine, last - keep, self.clock())

    def evaluate(self) -> Evaluation:
        """Judge all objectives, once for everybody who asks until the next time."""
        new = self._judge(self.clock(), self.spec.objectives, self._judged)
        _ = new.shown  # made here, where nobody waits for an answer
        self._judged = new
        return new

    def renew(self) -> None:
        """Job: evaluate again where no booking did so for a while, as during a long backfill."""
        if self._judged is None or abs(self.clock() - self._judged.at) >= RENEW:
            self.attempt("evaluate", self.evaluate)

    def evaluated(self, at: float | None = None, only: str | None = None) -> Evaluation:
        """Return all budgets as they stood last time; or all (or only one) at a moment by what the ledger holds today."""
        if at is None:
            return self._judged or self.evaluate()
        return self._judge(at, [objective for objective in self.spec.objectives if only in (None, objective.id)], None)

    def _judge(self, at: float, objectives: Sequence[Objective], last: Evaluation | None) -> Evaluation:
        """Judge at a moment; when budgets run out is taken from the last evaluating while that tells it."""
        excluded = self.records.exclusions()
        found = evaluate(self.ledger, objectives, excluded, at)
        budgets = {budget.objective.id: budget for budget in found}
        if last is not None and last.tells(at, budgets, excluded):
            return Evaluation(at, budgets, last.exhaustions, last.told_at, excluded)
        return Evaluation(at, budgets, exhaustions(self.ledger, found, excluded, at), at, excluded)

    @property
    def embedded(self) -> bool:
        """Whether the service scrapes the exporters itself."""
        return isinstance(self.source, ScrapeSource)

    def not_ready(self) -> list[str]:
        """Return why the service should not be asked yet; empty when it is ready."""
        reasons = [f"{job}: {message}" for job, message in self.trouble.items()]
        if self.booked_at is None:
            reasons.append("ingest: nothing has been booked since the start")
        elif self.booked_at - self.clock() > READY_LAG:
            reasons.append(
                f"clock: it went back by {self.booked_at - self.clock():.0f} s or more since the last booking"
            )
        elif self.clock() - self.booked_at > READY_LAG:
            reasons.append(f"ingest: the last booking was {self.clock() - self.booked_at:.0f} s ago")
        return reasons

    def attempt(self, job: str, work: Callable[[], object]) -> bool:
        """Run a job: its failure is kept, logged once per message, and cleared by its next success."""
        try:
            with self.watch(job):
                work()
        except (SourceError, SQLAlchemyError) as error:
            message = reason(error) if isinstance(error, SQLAlchemyError) else " ".join(str(error).split())
            if self.trouble.get(job) != message:
                log.error("%s failed: %s", job, message)
            self.trouble[job] = message
            return False
        if self.trouble.pop(job, None):
            log.info("%s works again", job)
        return True

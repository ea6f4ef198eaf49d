"""State of the service: the ledger, the last evaluation and recommendations, and the health of its jobs."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import Lock

from plimsoll.slo.calendar import WEEK
from plimsoll.slo.capacity.model import signals
from plimsoll.slo.capacity.model.replica_throughput import ReplicaThroughput
from plimsoll.slo.capacity.recommendation.attainment_simulation import calibrated
from plimsoll.slo.capacity.recommendation.demand_plan import latency_target
from plimsoll.slo.capacity.recommendation.models import Reason, Recommendation, no_data
from plimsoll.slo.capacity.recommendation.pool_snapshot import look
from plimsoll.slo.capacity.recommendation.recommend import Decision, decide
from plimsoll.slo.capacity.recommendation.settings.observed import observed_settings
from plimsoll.slo.capacity.recommendation.topology.batch import batch_pools, yielding
from plimsoll.slo.capacity.recommendation.topology.model_shares import model_shares
from plimsoll.slo.capacity.special_hours import SpecialHours
from plimsoll.slo.ledger.evaluation import evaluate
from plimsoll.slo.ledger.exhaustion_inputs import exhaustions
from plimsoll.slo.ledger.ingest import FINAL_AFTER, Recorded, ingest
from plimsoll.slo.ledger.leader import Leader
from plimsoll.slo.ledger.retention import prune
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.attained import attained
from plimsoll.slo.reports.calibration import stored_fit
from plimsoll.slo.reports.measured_states import newest_state, save_state
from plimsoll.slo.reports.records import Records
from plimsoll.slo.reports.request_profile import batch_load
from plimsoll.slo.service.change_events import ChangeEvents
from plimsoll.slo.service.configuration import Reloads, configuration_problems
from plimsoll.slo.service.data_problems import DataProblems
from plimsoll.slo.service.delivery.reviews import ReviewDeliveries
from plimsoll.slo.service.evaluation import Evaluation
from plimsoll.slo.service.job_runs import JobRuns
from plimsoll.slo.service.system_clock import HOLD_SECONDS, SystemClock
from plimsoll.slo.service.webhook import Webhook
from plimsoll.slo.sli.rollouts import RolloutWatch
from plimsoll.slo.sources import Source, SourceError
from plimsoll.slo.sources.recent import RecentSource
from plimsoll.slo.spec.objectives import Objective, Pool, Spec

EVALUATION_SECONDS = 10.0  # after which budgets are evaluated again
READY_LAG = 120.0  # seconds without a successful ingest after which the service is not ready
LEADER_JOBS = ("scrape", "ingest", "review", "deliver", "calibrate", "prune", "webhook", "change events")


class Service:
    """Ingests, evaluates, and recommends. Thread-safe."""

    keep_slots = 400 * 86400.0  # seconds: a year, and a month to review it

    def __init__(self, spec: Spec, source: Source, ledger: Ledger, clock: Callable[[], float] | None = None) -> None:
        """`clock` gives Unix seconds; tests pass their own."""
        self.clock = clock or SystemClock()
        self.spec, self.source, self.ledger = spec, source, ledger
        self.leader, self.leading = Leader(ledger.engine), False  # whether it led when it last asked
        self.runs = JobRuns(self.clock)
        self.records = Records(spec, ledger, self.clock)
        self.ingested_at: float | None = None
        self.problems = DataProblems()
        self.webhook: Webhook | None = None
        self.change_events: ChangeEvents | None = None
        self.deliveries: ReviewDeliveries | None = None
        self.reloads: Reloads | None = None
        self.rollouts = {pool.name: RolloutWatch(pool) for pool in spec.pools}
        self._decisions: dict[str, Decision] = {}
        self._evaluation: Evaluation | None = None
        self._ingesting = Lock()
        self._recorded: dict[str, Recorded] = {}

    def reload(self, spec: Spec) -> None:
        """Use other objectives from now on. What is stored stays; SLOs that are new are caught up with by the next ingest."""
        with self._ingesting:
            # First an evaluation that has the SLOs of both, so that every request finds its own.
            both = {one.id: one for one in (*self.spec.objectives, *spec.objectives)}
            self._evaluation = self._evaluate_at(self.clock(), list(both.values()), None)
            self.rollouts = {
                pool.name: known
                if (known := self.rollouts.get(pool.name)) and known.pool == pool
                else RolloutWatch(pool)
                for pool in spec.pools
            }
            self.records.use(spec)
            self.spec, self._recorded = spec, {}
            self.evaluate()

    def leads(self) -> bool:
        """Job: renew the lease or take over a free one; return whether this service leads. Without the database it doesn't."""
        leads = self.runs.run("lead", self.leader.renew) and self.leader.leads
        if leads != self.leading:
            for job in ("follow",) if leads else LEADER_JOBS:
                self.runs.forget(job)
        self.leading = leads
        return leads

    def lead(self, job: str, work: Callable[[], object]) -> bool:
        """Run a job of the leader; return whether it succeeded. What it writes is rolled back if another service leads by then."""

        def fenced() -> None:
            with self.leader.term():
                work()

        return self.leads() and self.runs.run(job, fenced)

    def scrape(self) -> None:
        """Job: read the exporters, where the service does so itself and leads."""
        if isinstance(self.source, ScrapeSource):
            self.lead("scrape", self.source.scrape)

    def ingest(self) -> None:
        """Job: record new data in the ledger; where another service leads, check that it does."""
        with self._ingesting:
            now = self.clock()
            if self.lead("ingest", lambda: self._ingest(now)):
                self.ingested_at = now
            elif not self.leading:
                self.problems.renew(())  # the leader has them
                self.runs.run("follow", lambda: self._follow(now))
            self.runs.run("evaluate", self.evaluate)

    def _ingest(self, now: float) -> None:
        self.problems.renew(ingest(self.spec, self.source, self.ledger, now, self._recorded))

    def _follow(self, now: float) -> None:
        recorded = self.ledger.recorded_until()
        if all(recorded.get(objective.id, 0) > now - FINAL_AFTER - READY_LAG for objective in self.spec.objectives):
            self.ingested_at = now

    def watch_rollouts(self) -> None:
        """Job: compare the versions of each pool that serves with two."""
        for pool in self.spec.pools:
            judged = [one for one in self.spec.objectives if one.pool == pool.name]
            look = partial(self.rollouts[pool.name].look, self.source, judged, self.clock())
            self.runs.run(f"watch rollouts {pool.name}", look)

    def check(self) -> None:
        """Job: compare the objectives file with what is live."""
        self.runs.run("check", self._check)

    def _check(self) -> None:
        # The other jobs report a SourceError, more often than this one runs; what was found still holds.
        with suppress(SourceError):
            found = configuration_problems(self.spec, self.source, self.clock(), self.reloads)
            self.problems.configuration = found

    def recommend(self) -> None:
        """Job: decide for every pool, and store what changed."""
        now = self.clock()
        self._read_signals(now)
        for pool in self.spec.pools:
            self.runs.run(f"recommend {pool.name}", partial(self._recommend, pool, now))
        webhook = self.webhook
        if webhook is not None:
            self.lead("webhook", lambda: webhook.deliver([self.recommendation(one.name) for one in self.spec.pools]))

    def _read_signals(self, now: float) -> None:
        """Read what is new of all pools together, where the source holds the rest."""
        if isinstance(self.source, RecentSource):
            spans: dict[float, list[Pool]] = defaultdict(list)
            for pool in self.spec.pools:
                spans[signals.span(pool)].append(pool)
            with suppress(SourceError):  # then each pool's own reading reports it
                for span, pools in spans.items():
                    self.source.renew(map(signals.selectors, pools), now - span, now)

    def _recommend(self, pool: Pool, now: float) -> None:
        budgets = self._evaluation.budgets if self._evaluation else {}
        target = latency_target(self.spec, pool, budgets)
        if target is not None:
            target = replace(target, attained=attained(self.ledger, self.spec, pool, budgets, now))
        try:
            series = self.source.series(signals.selectors(pool), now - signals.span(pool), now)
        except SourceError as error:
            reason = Reason("source_unavailable", f"No data: source unavailable: {error}. No change recommended.")
            self._decisions[pool.name] = Decision(no_data(pool.name, now, reason, target), None)
            raise
        # From the ledger, not from memory: a service that just started or took over decides like the one before it.
        state, fitted = newest_state(self.ledger, pool.name, now), stored_fit(self.ledger.engine, pool)
        engine = calibrated(fitted, observed_settings(series, now)) if fitted else None
        last = self._decisions.get(pool.name)
        case = look(pool, signals.read(series, now), now, target, state=state)
        new = decide(replace(case, special=self._special(pool)), engine, state)
        load, pools = batch_load(self.ledger, pool, now), batch_pools(self.spec, pool, self._decisions)
        new = new._replace(recommendation=yielding(new.recommendation, load, pools))
        self._decisions[pool.name] = new
        if self.leads():
            with self.leader.term():
                self._store(pool.name, new, last)

    def _special(self, pool: Pool) -> SpecialHours:
        """Return a pool's holidays, and its events."""
        events = tuple(one for one in self.records.events() if one.covers(pool.name))
        return SpecialHours(self.spec.holidays_of(pool), events)

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
        """Return the last recommendation for a pool, beside what the pools of its model and kind carry."""
        own = self.spec.pool(pool)
        alike = [one for one in self.spec.pools if (one.model, one.kind) == (own.model, own.kind)]
        found = {one.name: self._last_recommendation(one) for one in alike}
        return found[pool].model_copy(update={"model_shares": model_shares(found)})

    def _last_recommendation(self, pool: Pool) -> Recommendation:
        if pool.name in self._decisions:
            return self._decisions[pool.name].recommendation
        reason = Reason("not_evaluated", "No data: the service has just started. No change recommended.")
        return no_data(pool.name, self.clock(), reason, latency_target(self.spec, pool))

    def throughput(self, pool: str) -> ReplicaThroughput | None:
        """Return the saturation throughput of a pool's replicas; None where it isn't known."""
        state = self._decisions[pool].state if pool in self._decisions else None
        return None if state is None else state.throughput

    def prune(self) -> None:
        """Job: delete slots that no window needs any more; hourly and daily sums stay."""
        self.lead("prune", self._prune)

    def _prune(self) -> None:
        objectives = self.spec.objectives
        keep = max([self.keep_slots, *(objective.window.seconds + WEEK for objective in objectives)])
        # Relative to the last data: a clock that runs ahead for a while must not empty the ledger.
        last = self.ledger.last([objective.id for objective in objectives], self.clock())
        if last is not None:
            prune(self.ledger.engine, last - keep, self.clock())

    def evaluate(self) -> Evaluation:
        """Evaluate all SLOs; every request until the next evaluation uses the result."""
        new = self._evaluate_at(self.clock(), self.spec.objectives, self._evaluation)
        _ = new.slos  # built here rather than during a request
        self._evaluation = new
        return new

    def renew(self) -> None:
        """Job: evaluate again if no ingest has for EVALUATION_SECONDS, as during a long backfill."""
        if self._evaluation is None or abs(self.clock() - self._evaluation.at) >= EVALUATION_SECONDS:
            self.runs.run("evaluate", self.evaluate)

    def evaluated(self, at: float | None = None, only: str | None = None) -> Evaluation:
        """Return the last evaluation; or that of a moment (of all SLOs or `only` one) from the current ledger."""
        if at is None:
            return self._evaluation or self.evaluate()
        return self._evaluate_at(
            at, [objective for objective in self.spec.objectives if only in (None, objective.id)], None
        )

    def _evaluate_at(self, at: float, objectives: Sequence[Objective], last: Evaluation | None) -> Evaluation:
        """Evaluate at a moment. Projections of exhaustion are taken from the last evaluation while they hold."""
        excluded = self.records.exclusions()
        found = evaluate(self.ledger, objectives, excluded, at)
        budgets = {budget.objective.id: budget for budget in found}
        if last is not None and last.projects(at, budgets, excluded):
            return Evaluation(at, budgets, last.exhaustions, last.projected_at, excluded)
        return Evaluation(at, budgets, exhaustions(self.ledger, found, excluded, at), at, excluded)

    @property
    def embedded(self) -> bool:
        """Whether the service scrapes the exporters itself."""
        return isinstance(self.source, ScrapeSource)

    @property
    def source_problems(self) -> Sequence[str]:
        """What the source couldn't read while the rest of it was read; the service is ready all the same."""
        return self.source.problems if isinstance(self.source, ScrapeSource) else ()

    def not_ready_reasons(self) -> list[str]:
        """Return why the service is not ready, one sentence each; empty when it is ready."""
        reasons = [*self._clock_reasons(), *self.runs.not_ready_reasons(), *self.problems.not_ready_reasons()]
        if self.ingested_at is None:
            reasons.append("No data ingested since startup. Check that the source is reachable.")
        elif self.ingested_at - self.clock() > READY_LAG:
            back = self.ingested_at - self.clock()
            reasons.append(
                f"The clock went back by at least {back:.0f} s since the last ingest. Check the system time."
            )
        elif self.clock() - self.ingested_at > READY_LAG:
            reasons.append(f"Last ingest was {self.clock() - self.ingested_at:.0f} s ago.")
        return reasons

    def _clock_reasons(self) -> list[str]:
        jump = self.clock.jump if isinstance(self.clock, SystemClock) else 0.0
        text = (
            f"The system clock jumped by {jump:+.0f} s. The service follows once that has held for {HOLD_SECONDS:.0f} s. "
            "Check the time synchronization; restart the service to follow at once."
        )
        return [text] if jump else []

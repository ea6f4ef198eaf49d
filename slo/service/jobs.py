"""Schedule of the service's jobs (APScheduler)."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from math import inf

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from plimsoll.slo.reports.calibration import calibrate_pool
from plimsoll.slo.reports.review_archive import save_due_reviews
from plimsoll.slo.service.change_events import ChangeEvents
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.system_clock import elapsed

SCRAPE_SECONDS = 5
INGEST_SECONDS = 10
RECOMMEND_SECONDS = 10
ROLLOUT_SECONDS = 60
CHECK_SECONDS = 60
CHANGE_SECONDS = 30
DELIVER_SECONDS = 60
LEAD_SECONDS = 5
# A job that takes a second of processor time runs every 150 s, so that it takes a 150th of a core; at the latest after MOST_SECONDS.
SPACING, MOST_SECONDS = 150.0, 60.0
CHECK_SPACING, MOST_CHECK_SECONDS = 600.0, 600.0  # of jobs whose results change with deployments, not with traffic
REPLAN_SECONDS = 2.0  # a jump of the system clock from which on jobs are planned again
THREADS = 12  # more than there are jobs


def save_reviews(service: Service) -> None:
    """Job of the leader: generate and save the weekly reviews that are due."""
    service.lead("review", lambda: save_due_reviews(service.records))


def deliver_reviews(service: Service) -> None:
    """Job of the leader: send the newest saved review to its receivers."""
    if (reviews := service.deliveries) is not None:
        service.lead("deliver", lambda: reviews.deliver(service.ledger.engine, service.clock()))


def calibrate_pools(service: Service) -> None:
    """Job of the leader: fit each pool's step-time model."""
    for pool in service.spec.pools:
        service.lead(f"calibrate {pool.name}", partial(calibrate_pool, service.records, service.source, pool))


def send_changes(service: Service, events: ChangeEvents) -> None:
    """Job: find what changed; the leader sends it to PagerDuty."""
    service.runs.run("change events", partial(events.look, service))


def spaced(
    work: Callable[[], object],
    spacing: float = SPACING,
    most: float = MOST_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[], None]:
    """Return a job that leaves out runs until `spacing` times the processor time of its last one have passed by `clock` (seconds), but at
    most `most` seconds. Waiting for a slow source doesn't make it rarer.
    """
    due = -inf

    def run() -> None:
        nonlocal due
        if (begun := clock()) < due:
            return
        started = time.thread_time()
        work()
        due = begun + min(most, spacing * (time.thread_time() - started))

    return run


def scheduler(service: Service) -> BackgroundScheduler:
    """Return the scheduler, not started. A job that is still running is skipped, one that was missed runs once."""
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": 60}
    # A thread for each job: one that hangs keeps no other from running.
    jobs = BackgroundScheduler(timezone=UTC, job_defaults=defaults, executors={"default": ThreadPoolExecutor(THREADS)})
    plan(jobs, service)
    return jobs


def plan(jobs: BackgroundScheduler, service: Service) -> None:
    """Plan every job, in place of earlier plans."""
    now = datetime.now(UTC)
    # Scrapes are aligned to multiples of their interval, so one falls on the end of every slot.
    first = datetime.fromtimestamp((now.timestamp() // SCRAPE_SECONDS + 1) * SCRAPE_SECONDS, UTC)

    def every(seconds: int, name: str, work: Callable[[], object], after: float) -> None:
        start = first + timedelta(seconds=after)
        jobs.add_job(work, "interval", seconds=seconds, next_run_time=start, id=name, replace_existing=True)

    every(LEAD_SECONDS, "lead", service.leads, 0.5)
    if service.embedded:
        every(SCRAPE_SECONDS, "scrape", service.scrape, 0)
    every(INGEST_SECONDS, "ingest", spaced(service.ingest), 1)
    every(86400, "prune", service.prune, 600)
    # Soon after the start: a week's review is saved once the week is recorded, early on Monday (UTC), or once a service runs again.
    every(600, "review", partial(save_reviews, service), 10)
    if service.deliveries is not None:
        every(DELIVER_SECONDS, "deliver", partial(deliver_reviews, service), 15)
    every(600, "calibrate", partial(calibrate_pools, service), 60)
    every(INGEST_SECONDS, "evaluate", service.renew, 0)
    every(RECOMMEND_SECONDS, "recommend", spaced(service.recommend), 2)
    every(ROLLOUT_SECONDS, "watch rollouts", spaced(service.watch_rollouts, CHECK_SPACING, MOST_CHECK_SECONDS), 5)
    every(CHECK_SECONDS, "check", spaced(service.check, CHECK_SPACING, MOST_CHECK_SECONDS), 3)
    if service.change_events is not None:
        every(CHANGE_SECONDS, "change events", partial(send_changes, service, service.change_events), 7)


async def follow_clock(jobs: BackgroundScheduler, service: Service) -> None:
    """Plan the jobs again after each jump of the system clock: APScheduler would wait until a clock that went back has caught up."""
    before = time.time() - elapsed()
    while True:
        await asyncio.sleep(1)
        after = time.time() - elapsed()
        if abs(after - before) > REPLAN_SECONDS:
            plan(jobs, service)
        before = after

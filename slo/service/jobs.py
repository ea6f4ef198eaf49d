"""Schedule of the service's jobs (APScheduler)."""

from datetime import UTC, datetime, timedelta
from functools import partial

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from plimsoll.slo.reports.calibration import calibrate_pool
from plimsoll.slo.reports.review_archive import save_due_reviews
from plimsoll.slo.service.state import Service

SCRAPE_SECONDS = 5
INGEST_SECONDS = 10
RECOMMEND_SECONDS = 10


def save_reviews(service: Service) -> None:
    """Job of the leader: generate and save the weekly reviews that are due."""
    if service.leader.leads():
        service.attempt("review", lambda: save_due_reviews(service.records))


def calibrate_pools(service: Service) -> None:
    """Job of the leader: fit each pool's step-time model."""
    if service.leader.leads():
        for pool in service.spec.pools:
            work = partial(calibrate_pool, service.records, service.source, pool)
            service.attempt(f"calibrate {pool.name}", work)


def scheduler(service: Service) -> BackgroundScheduler:
    """Return the scheduler, not started. A job that is still running is skipped, one that was missed runs once."""
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": 60}
    jobs = BackgroundScheduler(timezone=UTC, job_defaults=defaults, executors={"default": ThreadPoolExecutor(4)})
    now = datetime.now(UTC)
    # Scrapes are aligned to multiples of their interval, so one falls on the end of every slot.
    first = datetime.fromtimestamp((now.timestamp() // SCRAPE_SECONDS + 1) * SCRAPE_SECONDS, UTC)
    if service.embedded:
        jobs.add_job(service.scrape, "interval", seconds=SCRAPE_SECONDS, next_run_time=now, id="scrape")
    jobs.add_job(
        service.ingest, "interval", seconds=INGEST_SECONDS, next_run_time=first + timedelta(seconds=1), id="ingest"
    )
    jobs.add_job(service.prune, "interval", days=1, next_run_time=first + timedelta(minutes=10), id="prune")
    # Every 10 minutes and soon after the start: a week's review is saved once the week is recorded, early on Monday (UTC),
    # or once a service runs again.
    jobs.add_job(
        save_reviews, "interval", [service], minutes=10, next_run_time=first + timedelta(seconds=30), id="review"
    )
    jobs.add_job(
        calibrate_pools, "interval", [service], minutes=10, next_run_time=first + timedelta(minutes=1), id="calibrate"
    )
    jobs.add_job(service.renew, "interval", seconds=INGEST_SECONDS, next_run_time=first, id="evaluate")
    jobs.add_job(
        service.recommend,
        "interval",
        seconds=RECOMMEND_SECONDS,
        next_run_time=first + timedelta(seconds=2),
        id="recommend",
    )
    return jobs

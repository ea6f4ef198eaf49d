"""What runs when: APScheduler drives the service's own work."""

from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler

from slo.service.calibrating import calibrate_pools
from slo.service.keeping import make_due
from slo.service.state import Service

SCRAPE_SECONDS = 5
INGEST_SECONDS = 10
RECOMMEND_SECONDS = 10


def scheduler(service: Service) -> BackgroundScheduler:
    """Return the scheduler, not started. A job that is still running is skipped, one that was missed runs once."""
    defaults = {"coalesce": True, "max_instances": 1, "misfire_grace_time": 60}
    jobs = BackgroundScheduler(timezone=UTC, job_defaults=defaults, executors={"default": ThreadPoolExecutor(4)})
    now = datetime.now(UTC)
    # Scrapes stand on whole multiples of their interval, so that one falls on every slot's end.
    first = datetime.fromtimestamp((now.timestamp() // SCRAPE_SECONDS + 1) * SCRAPE_SECONDS, UTC)
    if service.embedded:
        jobs.add_job(service.scrape, "interval", seconds=SCRAPE_SECONDS, next_run_time=now, id="scrape")
    jobs.add_job(
        service.ingest, "interval", seconds=INGEST_SECONDS, next_run_time=first + timedelta(seconds=1), id="ingest"
    )
    jobs.add_job(service.thin, "interval", days=1, next_run_time=first + timedelta(minutes=10), id="thin")
    # Every ten minutes and soon after the start: a week's review is made as soon as the week is booked, early on Monday
    # (UTC), or as soon as a service runs again.
    jobs.add_job(make_due, "interval", [service], minutes=10, next_run_time=first + timedelta(seconds=30), id="review")
    jobs.add_job(
        calibrate_pools, "interval", [service], minutes=10, next_run_time=first + timedelta(minutes=1), id="calibrate"
    )
    jobs.add_job(service.renew, "interval", seconds=INGEST_SECONDS, next_run_time=first, id="judge")
    jobs.add_job(
        service.recommend,
        "interval",
        seconds=RECOMMEND_SECONDS,
        next_run_time=first + timedelta(seconds=2),
        id="recommend",
    )
    return jobs

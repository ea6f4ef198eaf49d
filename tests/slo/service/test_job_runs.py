"""Every failure of a job is an answer of the service: what, why, and what to do; and so is a job that does not end."""

import logging
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service import jobs
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.job_runs import LONGEST_SECONDS, LONGEST_SLOW_SECONDS, JobRuns
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import SourceError
from service_world import NOW, world
from world import spec

SECRET = "hunter2"


@pytest.fixture
def service(database: str, open_ledger: Callable[[str], Ledger]) -> Service:
    return Service(spec(), world(), open_ledger(database), clock=lambda: NOW)


def broken(*_: object, **__: object) -> None:
    raise KeyError(SECRET)


JOBS: dict[str, Callable[[Service], object]] = {
    "ingest": lambda service: service.ingest(),
    "recommend pool": lambda service: service.recommend(),
    "evaluate": lambda service: service.ingest(),
    "calibrate pool": jobs.calibrate_pools,
    "review": jobs.save_reviews,
    "prune": lambda service: service.prune(),
    "lead": lambda service: service.leads(),
}
WORK = {
    "ingest": "plimsoll.slo.service.state.ingest",
    "recommend pool": "plimsoll.slo.service.state.decide",
    "evaluate": "plimsoll.slo.service.state.evaluate",
    "calibrate pool": "plimsoll.slo.service.jobs.calibrate_pool",
    "review": "plimsoll.slo.service.jobs.save_due_reviews",
    "prune": "plimsoll.slo.service.state.Service._prune",
    "lead": "plimsoll.slo.ledger.leader.Leader._read",
}


@pytest.mark.parametrize("job", JOBS)
def test_an_unexpected_error_in_any_job_is_a_reason_and_goes_with_its_cause(
    job: str, service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    service.ingest()
    assert service.not_ready_reasons() == []
    with monkeypatch.context() as broke:
        broke.setattr(WORK[job], broken)
        for _ in range(2):
            JOBS[job](service)
    client = TestClient(create_app(service), raise_server_exceptions=False)
    (reason,) = service.not_ready_reasons()
    assert reason.startswith(f"Job {job} failed: ")
    assert "KeyError" in reason
    assert client.get("/-/ready").json()["code"] == "not_ready"
    assert SECRET not in client.get("/-/ready").text, "an error may hold anything"
    assert f'plimsoll_job_failures_total{{task="{job}"}} 2.0' in client.get("/metrics").text
    assert len([one for one in caplog.records if one.exc_info]) == 1, "its traceback is logged once"
    JOBS[job](service)
    assert service.not_ready_reasons() == []
    assert f'plimsoll_job_last_success_timestamp_seconds{{task="{job}"}} 1.7' in client.get("/metrics").text
    service.leader.resign()


def test_an_error_that_changes_is_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    runs = JobRuns(lambda: NOW)
    for text in ("first", "first", "second"):
        runs.run("ingest", lambda text=text: (_ for _ in ()).throw(SourceError(text)))  # type: ignore[misc]
    assert [one.args for one in caplog.records if one.levelno == logging.ERROR] == [
        ("ingest", "first"),
        ("ingest", "second"),
    ]


@pytest.mark.parametrize(
    ("job", "longest"),
    [("ingest", LONGEST_SECONDS), ("scrape", LONGEST_SECONDS), ("calibrate a", LONGEST_SLOW_SECONDS)],
)
def test_a_job_that_does_not_end_is_a_reason_as_long_as_it_runs(job: str, longest: float) -> None:
    passed = [5.0]
    runs = JobRuns(lambda: NOW, lambda: passed[0])
    seen: list[list[str]] = []

    def hang() -> None:
        for seconds in (longest, 0.5):
            passed[0] += seconds
            seen.append(runs.not_ready_reasons())

    assert runs.run(job, hang)
    assert seen[0] == []
    (reason,) = seen[1]
    assert f"Job {job} has been running for {longest:.0f} s, since 2023-11-14T23:15:00Z." in reason
    assert runs.not_ready_reasons() == []


def test_each_job_has_a_thread_so_that_one_that_hangs_holds_up_no_other(service: Service) -> None:
    scheduler = jobs.scheduler(service)
    scheduler.start(paused=True)
    try:
        planned = scheduler.get_jobs()
        assert {job.id for job in planned} >= {
            "lead",
            "ingest",
            "recommend",
            "evaluate",
            "review",
            "calibrate",
            "prune",
        }
        assert len(planned) < jobs.THREADS
        assert {job.max_instances for job in planned} == {1}
    finally:
        scheduler.shutdown(wait=False)

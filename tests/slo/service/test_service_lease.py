"""The leader's lease: one service leads at any time, and one that was stopped, killed or cut off writes nothing after another took over."""

import os
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from live_exporter import LiveExporter, objectives
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.ledger.database import open_database, writing
from plimsoll.slo.ledger.documents import (
    CalibrationAttempt,
    SavedReview,
    save_attempt,
    save_measured_state,
    save_review,
)
from plimsoll.slo.ledger.leader import Leader, LostLeadError
from plimsoll.slo.ledger.manual_changes import exclude, stored_exclusions
from plimsoll.slo.ledger.retention import prune
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from postgresql import PostgreSQL
from process import Command
from service_world import NOW, world
from stack import free_port, wait_for
from world import spec

Opener = Callable[[str], Ledger]
TAKEN_OVER_WITHIN = 60.0  # seconds


def expire(ledger: Ledger) -> None:
    """Let the time of the lease pass."""
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE leadership SET expires_at = 0, renewals = renewals + 1"))


def count(number: int) -> dict[tuple[str, str], list[SlotCount]]:
    return {("fast", "hash"): [SlotCount(300 * number, number, number, 300.0, "per_request")]}


@pytest.fixture
def pair(database: str, open_ledger: Opener) -> Iterator[tuple[Leader, Leader, Ledger]]:
    """Two claims to lead on ledgers of one database, and the first one's ledger."""
    ledgers = [open_ledger(database) for _ in range(2)]
    yield Leader(ledgers[0].engine), Leader(ledgers[1].engine), ledgers[0]


def test_an_old_leader_writes_nothing_after_a_take_over(pair: tuple[Leader, Leader, Ledger]) -> None:
    old, new, ledger = pair
    engine = ledger.engine
    old.renew()
    with old.term():
        ledger.record(count(1), 300)
    expire(ledger)
    with old.term():
        ledger.record(count(2), 600)  # nobody else leads yet
    new.renew()
    assert (old.leads, new.leads) == (True, True), "the old one does not know yet"
    writes: list[Callable[[], object]] = [
        lambda: ledger.record(count(3), 900),
        lambda: ledger.save_recommendation("pool", 5.0, {"action": "hold"}),
        lambda: save_measured_state(engine, "pool", 5.0, "{}"),
        lambda: save_attempt(engine, CalibrationAttempt("pool", 5.0, None, None)),
        lambda: save_review(engine, SavedReview("2023-W46", 5.0, "{}")),
        lambda: prune(engine, 1e9, 5.0),
    ]
    for write in writes:
        with old.term(), pytest.raises(LostLeadError):
            write()
    assert [slot.total for slot in ledger.slots("fast", 0, 1e9)] == [1, 2]
    assert (ledger.recorded_until(), ledger.recommendations("pool", 5)) == ({"fast": 600}, [])
    old.renew()
    assert (old.leads, new.leads) == (False, True)
    # What a person changes is not a leader's write.
    exclude(engine, Exclusion(0.0, 300.0, "ann", "drill"), 5.0)
    assert len(stored_exclusions(engine)) == 1


def test_a_lease_is_taken_over_once_it_ended_and_not_before(pair: tuple[Leader, Leader, Ledger]) -> None:
    one, other, ledger = pair
    one.renew()
    other.renew()  # on SQLite, a service that starts leads at once
    first, second = (one, other) if not other.leads else (other, one)
    second.renew()
    assert (first.leads, second.leads) == (True, False)
    expire(ledger)
    second.renew()
    first.renew()
    assert (first.leads, second.leads) == (False, True)
    second.resign()
    first.renew()
    assert (first.leads, second.leads) == (True, False)


def test_a_lease_of_a_database_clock_that_was_ahead_does_not_bind(pair: tuple[Leader, Leader, Ledger]) -> None:
    one, other, ledger = pair
    one.renew()
    other.renew()
    with ledger.engine.begin() as connection:
        ahead = "UPDATE leadership SET expires_at = expires_at + 259200, holder = 'gone', renewals = renewals + 1"
        connection.execute(text(ahead))
    one.renew()
    assert one.leads


def test_on_sqlite_a_service_that_starts_leads_at_once_and_the_one_before_follows(
    tmp_path: Path, open_ledger: Opener
) -> None:
    url = f"sqlite:///{tmp_path}/ledger.db"
    killed, restarted = Leader(open_ledger(url).engine), Leader(open_ledger(url).engine)
    for _ in range(3):  # and it stays so
        killed.renew()
        assert killed.leads
    for _ in range(3):
        restarted.renew()
        killed.renew()
        assert (killed.leads, restarted.leads) == (False, True)


def test_a_service_that_ends_hands_the_lead_over_at_once_even_while_a_job_runs(
    database: str, open_ledger: Opener
) -> None:
    ends, stays = (Service(spec(), world(), open_ledger(database), clock=lambda: NOW) for _ in range(2))
    with TestClient(create_app(ends)):
        assert ends.leads()
    assert not ends.leads(), "as a job asks that has not ended yet"
    ends.ingest()
    assert stays.leads()
    stays.leader.resign()


def test_what_another_service_does_now_is_no_reason_here(database: str, open_ledger: Opener) -> None:
    services = [Service(spec(), world(), open_ledger(database), clock=lambda: NOW) for _ in range(2)]
    one, other = services
    one.source.down = True  # type: ignore[attr-defined]
    one.ingest()
    assert any("ingest" in reason for reason in one.not_ready_reasons())
    expire(one.ledger)
    other.ingest()
    one.ingest()
    assert (one.leading, other.leading) == (False, True)
    assert (one.not_ready_reasons(), other.not_ready_reasons()) == ([], [])


@pytest.mark.slow
@pytest.mark.postgresql
@pytest.mark.timeout(240)
def test_a_leader_that_stops_within_a_transaction_holds_nobody_up(postgresql: PostgreSQL, open_ledger: Opener) -> None:
    url = postgresql.database()
    follower = Service(spec(), world(), open_ledger(url), clock=lambda: NOW)
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork: the child opens a database of its own
        child = os.fork()
    if child == 0:
        ledger = Ledger(open_database(url))
        leader = Leader(ledger.engine)
        leader.renew()
        try:
            with leader.term(), writing(ledger.engine) as connection:
                connection.execute(text("INSERT INTO progress VALUES ('fast', 7)"))
                os.write(writer, b"stops")
                os.kill(os.getpid(), signal.SIGSTOP)
            os.write(writer, b"wrote")
        except Exception:
            os.write(writer, b"fails")
        os._exit(0)
    try:
        assert os.read(reader, 5) == b"stops"
        begin = time.monotonic()
        wait_for(follower.leads, "the follower to take over", TAKEN_OVER_WITHIN)
        print(f"taken over after {time.monotonic() - begin:.0f} s")
        follower.ingest()
        os.kill(child, signal.SIGCONT)
        assert os.read(reader, 5) == b"fails"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert follower.ledger.recorded_until()["fast"] != 7
    assert follower.not_ready_reasons() == []
    follower.leader.resign()


class Pair:
    """Two `plimsoll serve` on one PostgreSQL that scrape one exporter."""

    def __init__(self, postgresql: PostgreSQL, folder: Path, exporter: LiveExporter) -> None:
        self.database = postgresql.database()
        self.ports = [free_port(), free_port()]
        common = ["--source", f"scrape:{exporter.url}", "--objectives", objectives(folder), "--db", self.database]
        self.commands = [
            Command(
                folder / f"log{port}",
                *("serve", *common, "--listen", f"127.0.0.1:{port}"),
                ready=f"http://127.0.0.1:{port}/-/ready",
            )
            for port in self.ports
        ]

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database, autocommit=True) as connection:
            return connection.execute(statement.encode()).fetchall()

    def holder(self) -> tuple[str, int]:
        ((holder, epoch),) = self.sql("SELECT holder, epoch FROM leadership")
        return holder, epoch

    def leads(self, number: int) -> bool:
        page = httpx.get(f"http://127.0.0.1:{self.ports[number]}/metrics", timeout=5, trust_env=False).text
        return "plimsoll_leader 1.0" in page.splitlines()

    def last_sample(self) -> float:
        return float(self.sql("SELECT max(at_ms) / 1000.0 FROM scraped_samples")[0][0] or 0)


@pytest.mark.slow
@pytest.mark.postgresql
@pytest.mark.timeout(300)
def test_a_stopped_leader_is_followed_within_a_minute_and_writes_nothing_when_it_wakes(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with LiveExporter() as exporter:
        pair = Pair(postgresql, tmp_path, exporter)
        with pair.commands[0] as first, pair.commands[1]:
            assert (pair.leads(0), pair.leads(1)) == (True, False)
            assert first.process is not None
            before = pair.holder()
            first.process.send_signal(signal.SIGSTOP)
            stopped = time.time()
            try:
                wait_for(lambda: pair.last_sample() > stopped + 5, "the other to record", TAKEN_OVER_WITHIN)
                print(f"recorded again after {time.time() - stopped:.0f} s")
                taken = pair.holder()
                assert (taken[0] != before[0], taken[1]) == (True, before[1] + 1)
                assert pair.leads(1)
            finally:
                first.process.send_signal(signal.SIGCONT)
            wait_for(lambda: not pair.leads(0), "the old leader to follow")
            wait_for(lambda: pair.last_sample() > time.time() - 3, "another scrape")
            assert pair.holder() == taken
            assert (pair.leads(0), pair.leads(1)) == (False, True)
            ready = [httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False) for port in pair.ports]
            assert [answer.status_code for answer in ready] == [200, 200], [answer.text for answer in ready]
            # One scrape in each five seconds: never two leaders at once.
            ((most,),) = pair.sql(
                "SELECT max(n) FROM (SELECT count(DISTINCT at_ms) AS n FROM scraped_samples GROUP BY at_ms / 5000) AS each"
            )
            assert most <= 2, "two where one of them is at the rim"

"""Several services on one PostgreSQL: one does the jobs, each answers, and killing the first loses nothing."""

import os
import signal
import warnings
from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from postgresql import PostgreSQL
from service_world import NOW, T0, world
from stack import wait_for
from world import spec

Opener = Callable[[str], Ledger]


@pytest.mark.postgresql
def test_one_leads_and_each_answers_the_same(postgresql: PostgreSQL, open_ledger: Opener) -> None:
    url, now = postgresql.database(), [NOW]
    one, other = (Service(spec(), world(), open_ledger(url), clock=lambda: now[0]) for _ in range(2))
    other_source = other.source
    for service in (one, other):
        service.ingest()
        service.recommend()
    assert (one.leads(), other.leads()) == (True, False)
    assert other_source.reads == 1, "the follower reads for its recommendation only"  # type: ignore[attr-defined]
    answers = [TestClient(create_app(service)) for service in (one, other)]
    assert answers[0].get("/api/v1/slos").json() == answers[1].get("/api/v1/slos").json()
    assert [client.get("/-/ready").status_code for client in answers] == [200, 200]
    assert len(one.ledger.recommendations("pool", 10)) == 1

    now[0] += 7200  # the leader does nothing any more, and the follower says so
    other.ingest()
    assert "Last ingest was 7200 s ago." in other.not_ready_reasons()
    one.leader.resign()
    other.ingest()
    assert (other.not_ready_reasons(), one.leads(), other.leads()) == ([], False, True)
    other.leader.resign()


@pytest.mark.postgresql
def test_a_killed_leader_is_followed_and_nothing_is_lost(postgresql: PostgreSQL, open_ledger: Opener) -> None:
    url = postgresql.database()
    now = [T0 + 600]
    follower = Service(spec(), world(), open_ledger(url), clock=lambda: now[0])
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fork: the child opens a database of its own
        child = os.fork()
    if child == 0:
        leading = Service(spec(), world(), Ledger(open_database(url)), clock=lambda: T0 + 600)
        leading.ingest()
        os.write(writer, b"leads" if leading.leads() else b"fails")
        signal.pause()
    try:
        assert os.read(reader, 5) == b"leads"
        follower.ingest()
        assert not follower.leads()
        assert follower.evaluated().budgets["fast"].counted.total == 167
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    wait_for(follower.leads, "the lease of the killed leader to end", 60)
    now[0] = NOW
    follower.ingest()
    (budget,) = follower.evaluated().budgets.values()
    assert (budget.counted.good, budget.counted.total) == (960, 1000)
    follower.leader.resign()

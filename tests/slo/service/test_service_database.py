"""A database that does not answer: requests fail within seconds, and health checks are answered meanwhile."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import QueuePool, event, text

from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from postgresql import PostgreSQL
from service_world import INCIDENT, NOW, world
from world import spec

Opener = Callable[[str], Ledger]
MANY = 31  # with one that writes: as many requests of data as are let in at a time
LIMIT = "SET LOCAL lock_timeout = '2s'"  # in place of plimsoll.slo.ledger.database.SESSION's, to save time


@pytest.mark.postgresql
def test_requests_that_wait_for_the_database_end_with_503_and_hold_up_no_health_check(
    postgresql: PostgreSQL, open_ledger: Opener
) -> None:
    url = postgresql.database()
    service, other = Service(spec(), world(), open_ledger(url), clock=lambda: NOW), open_ledger(url)
    event.listen(service.ledger.engine, "begin", lambda connection: connection.exec_driver_sql(LIMIT))
    service.ingest()

    pool = service.ledger.engine.pool
    assert isinstance(pool, QueuePool)

    async def check() -> None:
        transport = httpx.ASGITransport(create_app(service, limits={}))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            waiting = [asyncio.create_task(client.get("/api/v1/exclusions")) for _ in range(MANY)]
            waiting.append(asyncio.create_task(client.post("/api/v1/exclusions", json=INCIDENT)))
            while pool.checkedout() < pool.size():
                await asyncio.sleep(0.01)
            assert (await asyncio.wait_for(client.get("/-/healthy"), 5)).status_code == 200
            assert (await asyncio.wait_for(client.get("/-/ready"), 5)).status_code == 200
            assert not any(task.done() for task in waiting), "all were waiting"
            answers = await asyncio.gather(*waiting)
            assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "ledger_unavailable")}

    with other.engine.begin() as connection:
        connection.execute(text("LOCK TABLE exclusions IN ACCESS EXCLUSIVE MODE"))
        asyncio.run(check())
    service.ingest()
    assert service.not_ready_reasons() == []
    service.leader.resign()

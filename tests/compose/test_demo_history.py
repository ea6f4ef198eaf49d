"""The demo's past: loaded once, labeled, with something true to show on every page."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from plimsoll.compose.demo.history import plan
from plimsoll.compose.demo.history.load import measured, store_history, stretches
from plimsoll.compose.demo.history.measure import INCIDENTS, LEVELS
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES, DEMO_OBJECTIVES, read_objectives
from plimsoll.slo.calendar import DAY, WEEK, week_of
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series

MOMENTS = {
    "afternoon": datetime(2026, 11, 18, 15, 20, 7, tzinfo=UTC),
    "week_begins": datetime(2026, 11, 16, 0, 3, 0, tzinfo=UTC),
    "month_begins": datetime(2026, 12, 1, 0, 45, 20, tzinfo=UTC),
    "year_begins": datetime(2027, 1, 1, 0, 7, 30, tzinfo=UTC),
}
SPEC = read_objectives(str(DEMO_OBJECTIVES))
POOL = SPEC.pools[0]


class Silent:
    """A source that has nothing yet: the live part begins later."""

    name = "silent"

    def series(self, *_: object) -> list[Series]:
        return []

    def earliest(self, since: float, now: float) -> float:
        return max(since, now)


@pytest.fixture(scope="module", params=MOMENTS)
def moment(request: pytest.FixtureRequest) -> str:
    """A stranger's first look may come at any time: the demo's past begins well at each."""
    return str(request.param)


@pytest.fixture(scope="module")
def now(moment: str) -> float:
    return MOMENTS[moment].timestamp()


@pytest.fixture(scope="module")
def service(now: float, tmp_path_factory: pytest.TempPathFactory) -> Service:
    path: Path = tmp_path_factory.mktemp("past")
    ledger = Ledger(open_database(f"sqlite:///{path}/ledger.db"))
    store_history(SPEC, ledger, now)
    return Service(SPEC, Silent(), ledger, clock=lambda: now)


@pytest.fixture(scope="module")
def client(service: Service) -> TestClient:
    return TestClient(create_app(service), base_url="http://127.0.0.1")


def begun(slo: str, moment: str) -> bool:
    """Whether the SLO's window, a calendar month, has just begun: little of it can be observed."""
    return slo == "chat-availability" and moment in ("month_begins", "year_begins")


def test_the_demo_keeps_the_bundled_pool_and_its_slos() -> None:
    bundled = read_objectives(str(DEFAULT_OBJECTIVES))
    assert SPEC.pools[0] == bundled.pools[0]
    hashes = [[one.spec_hash for one in spec.objectives] for spec in (SPEC, bundled)]
    assert hashes[0][: len(hashes[1])] == hashes[1]


def test_the_file_has_every_level_and_incident_of_every_pool() -> None:
    found = measured()
    assert list(found) == [pool.name for pool in SPEC.pools]
    for numbers in found.values():
        assert [one["load"] for one in numbers["levels"]] == list(LEVELS)
        assert set(numbers["incidents"]) == set(INCIDENTS)
    assert {one.kind for one in plan.INCIDENTS} == set(INCIDENTS), "each fingerprint is somewhere in the past"


def test_every_budget_has_a_whole_window_and_is_labeled(client: TestClient, moment: str) -> None:
    slos = client.get("/api/v1/slos").json()["slos"]
    assert {slo["id"] for slo in slos} == {one.id for one in SPEC.objectives}
    for slo in slos:
        assert slo["simulated"]
        if not begun(slo["id"], moment):
            assert slo["total"] > 1000 and slo["coverage"] > 0.98
            assert slo["budget_remaining"] > 0, f"{slo['id']}: the demo begins healthy"
    spent = {slo["id"]: slo["budget_remaining"] for slo in slos}
    assert spent["chat-goodput"] < 0.9, "incidents consumed budget"


@pytest.mark.parametrize(
    "path", ["/", "/slos/chat-goodput", "/pools/chat-70b", "/pools/chat-70b/whatif", "/pools/embedding"]
)
def test_pages_are_full_and_small(client: TestClient, path: str, moment: str) -> None:
    page = client.get(path)
    assert page.status_code == 200 and len(page.content) < 200 * 1024
    assert "Simulated data." in page.text
    if not begun("chat-availability", moment):
        assert "too early" not in page.text


@pytest.mark.parametrize("day", [4, 9, 17])
def test_the_budget_of_a_calendar_month_lasts_on_each_of_its_days(day: int) -> None:
    """The days on which the incidents weigh most: those of three and eight days before are in the month, and little else is."""
    begin, now = (datetime(2026, 8, one, tzinfo=UTC).timestamp() for one in (1, day))
    made = [one for slot, one in stretches(measured()[POOL.name], POOL, now) if slot >= begin]
    good, total = (sum(one[kind]["chat-availability"] for one in made) for kind in ("good", "total"))
    assert total - good < (1 - 0.999) * total


def test_causes_exclusion_correction_and_reviews_are_there(client: TestClient, service: Service, now: float) -> None:
    attribution = client.get("/api/v1/slos/chat-goodput/attribution").json()
    assert {"replica_loss", "preemption", "kv_cache"} & {one["cause"] for one in attribution["causes"]}
    (exclusion,) = client.get("/api/v1/exclusions").json()["exclusions"]
    assert "SIMULATED" in exclusion["reason"]
    made = [
        one
        for pool in SPEC.pools
        for one in client.get(f"/api/v1/pools/{pool.name}/recommendation/history").json()["recommendations"]
    ]
    assert len(made) > 1
    assert [one["acknowledgement"]["answer"] for one in made if one["acknowledgement"]] == ["no"]
    saved = [week_of(now - back * WEEK) for back in (2, 3)]
    reviews = [client.get(f"/api/v1/reviews/{week}").json() for week in saved]
    assert all(review["generated_at"] and review["complete"] and review["simulated"] for review in reviews)
    revised = [one["path"] for review in reviews for one in review["revisions"]]
    assert any("chat-availability" in path for path in revised), "the correction came after its review"


def test_the_past_ends_where_the_live_part_begins(service: Service, now: float) -> None:
    last = service.ledger.last(["chat-ttft"], now + DAY)
    assert last is not None and now - 600 <= last <= now
    assert all(until > now - 300 for until in service.ledger.recorded_until().values())

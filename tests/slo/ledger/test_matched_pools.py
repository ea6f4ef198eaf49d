"""Two pools of one model in the ledger, in the service and in an export, against two worlds whose truth is known alone."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from fastapi.testclient import TestClient

from engine_pages import fixed, server
from plimsoll.slo import metrics as c
from plimsoll.slo.capacity.model import signals
from plimsoll.slo.checks.live import Live, live_findings
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from pool_slots import END, SLOTS, T0, busy, every
from pool_world import Life, PoolWorld, asks
from recorded import Recorded
from regions import EU, TEXT, US, in_region, spec
from world import Process, World

Opener = Callable[[str], Ledger]
EUROPE = busy()
AMERICA = PoolWorld({"a": [Life(T0 - 5e5, asks(9, T0 - 400, END, 1))]}, {"a": every(T0 - 300, END)}, {"a": 700.0})


def regional(world: PoolWorld, target: dict[str, str], node: str) -> list[Series]:
    series = in_region(world.series(), target, node)
    return [item._replace(labels=item.labels | ({"model": "m"} if "model" in item.labels else {})) for item in series]


def both() -> Recorded:
    return Recorded([*regional(EUROPE, EU, "e"), *regional(AMERICA, US, "u")])


def test_each_pool_has_what_its_own_replicas_did(tmp_path: Path, open_ledger: Opener) -> None:
    """Requests, energy and replicas of both together, and of each where it alone is there."""
    together, alone = (open_ledger(f"sqlite:///{tmp_path}/{name}.db") for name in ("both", "alone"))
    assert ingest(spec(), both(), together, END) == []
    ingest(spec(), Recorded(regional(EUROPE, EU, "e")), alone, END)
    rows = {name: pool_rows(together.engine, name, T0, END, 100) for name in ("eu", "us")}
    assert rows["eu"] == pool_rows(alone.engine, "eu", T0, END, 100)
    finished = sum(row.finished or 0 for row in rows["us"] if row.slot in SLOTS)
    assert finished == sum(T0 < ask.end <= SLOTS[-1] + 300 for ask in AMERICA.lives["a"][0].asks)
    watts = {name: rows[name][1].energy_joules for name in rows}
    assert (watts["eu"], watts["us"]) == (750 * 300, 700 * 300)
    up = [(slot.good, slot.total) for slot in together.slots("eu-up", T0, END)]
    assert up == [(slot.good, slot.total) for slot in alone.slots("eu-up", T0, END)]
    assert sum(slot.total for slot in together.slots("us-up", T0, SLOTS[-1] + 1)) == finished


def test_live_signals_are_those_of_the_pools_own_replicas() -> None:
    for pool, world in zip(spec().pools, (EUROPE, AMERICA), strict=True):
        found = signals.read(both().series(signals.selectors(pool), END - 1800, END), END)
        assert [item.replica for item in found] == sorted(world.lives)


def test_a_plugin_that_evaluates_the_slos_of_both_pools_counts_for_the_one_it_runs_in(
    tmp_path: Path, open_ledger: Opener
) -> None:
    """It finds SLOs by its model, so each engine counts both; the region tells which is whose."""
    times = [T0 + 15 * i for i in range(-20, 41)]
    worlds = {"eu": (EU, True, 40), "us": (US, False, 70)}
    series = []
    for node, (target, good, number) in worlds.items():
        world = World({"r": [Process(T0 - 9e5, [(T0 + i, good) for i in range(1, number + 1)])]}, {"r": times})
        series += in_region(world.all_series(), target, node)
    twice = [
        item._replace(labels=item.labels | {"objective": name})
        for item in series
        for name in ("eu-fast", "us-fast")
        if "objective" in item.labels
    ]
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ingest(spec(), Recorded([*(one for one in series if "objective" not in one.labels), *twice]), ledger, T0 + 600)
    sums = {
        name: [sum(getattr(slot, what) for slot in ledger.slots(name, T0, T0 + 600)) for what in ("good", "total")]
        for name in ("eu-fast", "us-fast")
    }
    assert sums == {"eu-fast": [40, 40], "us-fast": [0, 70]}


def test_a_scraped_target_is_matched_by_its_address(database: str, open_ledger: Opener) -> None:
    page = f'{c.REPLICA_START}{{replica="r",model="m"}} 1.5\n'
    with server(fixed(page)) as first, server(fixed(page)) as second:
        hosts = [url.removeprefix("http://") for url in (first, second)]
        text = TEXT.replace("{region: [eu-west, eu-north], namespace: chat}", f"{{instance: '{hosts[0]}'}}")
        mine, other = load(text.replace("{region: us}", f"{{instance: [elsewhere, '{hosts[1]}']}}")).pools
        wanted = [selector for selector in signals.selectors(mine)]
        with closing(ScrapeSource([first, second], open_ledger(database).engine, wanted, lambda: T0)) as source:
            source.scrape()
            found = source.series([*wanted, *signals.selectors(other)], T0 - 60, T0)
    assert [item.labels["instance"] for item in found] == [hosts[0]]


def test_a_pool_without_replicas_names_the_labels_that_are_there() -> None:
    now = END
    series = Recorded(regional(AMERICA, {"region": "us-2"}, "u")).series(
        signals.selectors(load(TEXT.replace("us}", "us-2}")).pools[1]), now - 900, now
    )
    codes = ("pool-not-live", "replica-without-pool")
    found = {item.path: item.message for item in live_findings(spec(), Live(series, now)) if item.code in codes}
    assert found == {
        "pools": "No pool matches a, which serves the model m: nothing counts its requests.",
        "pools[0].model": "Pool eu: no live replica serves the model m with region, namespace as in its match. "
        "Live models: m region=us-2 (no namespace).",
        "pools[1].model": "Pool us: no live replica serves the model m with region as in its match. Live models: m region=us-2.",
    }


def test_the_api_gives_the_match(tmp_path: Path, open_ledger: Opener) -> None:
    service = Service(spec(), Recorded([]), open_ledger(f"sqlite:///{tmp_path}/ledger.db"), lambda: END)
    with TestClient(create_app(service)) as client:
        pools = client.get("/api/v1/pools").json()["pools"]
    assert [pool["match"] for pool in pools] == [
        {"region": ["eu-west", "eu-north"], "namespace": "chat"},
        {"region": "us"},
    ]

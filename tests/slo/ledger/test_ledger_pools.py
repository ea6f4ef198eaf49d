"""What a pool did in each slot, against requests of known fate; and the same rows whoever kept the samples."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from msgspec.structs import astuple
from msgspec.structs import replace as altered

from page import Page
from plimsoll.compose.serving import wanted
from plimsoll.slo import metrics as c
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.retention import prune
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows, pools_recorded_until
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.observed import Observed
from plimsoll.slo.sources import Series
from plimsoll.slo.usage.slots import PoolSlot, count_pool
from pool_slots import BUSY, END, POOL, SLOTS, T0, busy, count
from pool_world import SPEC, Life, PoolWorld, text
from recorded import Recorded

Opener = Callable[[str], Ledger]


def watched(world: PoolWorld, slot: float) -> list[tuple[Life, float, float]]:
    """(life, since, until) of every pair of scrapes of one life of which the later falls into a slot."""
    found = []
    for replica in world.lives:
        for at in world.scrapes[replica]:
            life = world.alive(replica, at)
            if slot < at <= slot + SLOT and life is not None:
                earlier = [t for t in world.scrapes[replica] if life.start <= t < at]
                found.append((life, earlier[-1] if earlier else life.start, at))
    return found


def test_every_count_is_that_of_the_requests_and_arrivals_hold_those_that_still_wait() -> None:
    rows = count(BUSY)
    assert [row.slot for row in rows] == SLOTS
    for row in rows:
        seen = watched(BUSY, row.slot)
        over = [ask for life, low, high in seen for ask in life.asks if low < ask.end <= high]
        assert row.arrivals == sum(low < ask.arrive <= high for life, low, high in seen for ask in life.asks)
        assert row.finished == sum(ask.how in ("stop", "length", "error") for ask in over)
        assert row.errors == sum(ask.how == "error" for ask in over)
        assert row.rejected == sum(ask.how == "5xx" for ask in over)
        assert row.abandoned_queued == sum(ask.how == "queued" for ask in over)
        assert row.abandoned_streaming == sum(ask.how == "streaming" for ask in over)
        assert row.input_tokens == sum(ask.prompt for ask in over)
        assert row.output_tokens == sum(ask.generated for ask in over)
        assert row.preemptions == sum(ask.preempted for ask in over)
    burst = rows[2]
    assert all((burst.errors, burst.rejected, burst.abandoned_queued, burst.abandoned_streaming, burst.preemptions))
    assert burst.arrivals is not None
    assert burst.arrivals > (burst.finished or 0)
    assert (rows[0].errors, rows[0].rejected, rows[0].abandoned_queued) == (0, 0, 0)


def test_a_queue_is_that_of_all_replicas_together_and_a_cache_that_of_the_fullest() -> None:
    def waiting(replica: str, at: float) -> tuple[int, float] | None:
        """Waiting requests and KV use as the scrape that follows a moment reads them."""
        life = BUSY.alive(replica, at)
        after = next(t for t in BUSY.scrapes[replica] if t >= at)
        if life is None or BUSY.alive(replica, after) is not life:
            return None
        here = [ask for ask in life.asks if ask.arrive <= after < ask.end]
        running = [ask for ask in here if ask.begin is not None and ask.begin <= after]
        return len(here) - len(running), min(1.0, len(running) / 32)

    for row in count(BUSY):
        # Scrapes stand on whole seconds, so that nothing changes within one.
        moments = [[waiting(name, row.slot + second + 0.5) for name in "ab"] for second in range(SLOT)]
        told = [[one for one in moment if one is not None] for moment in moments]
        queues = [sum(one[0] for one in moment) for moment in told]
        caches = [one[1] for moment in told for one in moment]
        assert (row.waiting_max, row.kv_cache_usage_max) == (max(queues), max(caches))
        assert row.waiting_mean == pytest.approx(sum(queues) / SLOT, abs=1e-6)
        assert row.kv_cache_usage_mean == pytest.approx(sum(caches) / len(caches), abs=1e-6)
        assert row.replicas == pytest.approx(sum(map(len, told)) / SLOT, abs=1e-6)
        assert row.nodes == row.replicas


def test_a_restart_is_a_replica_gone_and_so_is_one_that_vanishes_while_others_are_read() -> None:
    assert [row.replica_disruptions for row in count(BUSY)] == [0, 0, 0, 1, 0, 0, 0, 0]
    gone = replace(BUSY, scrapes={**BUSY.scrapes, "b": [at for at in BUSY.scrapes["b"] if at < T0 + 450]})
    assert [row.replica_disruptions for row in count(gone)] == [0, 1, 0, 0, 0, 0, 0, 0]
    dark = replace(BUSY, scrapes={name: [t for t in times if t < T0 + 450] for name, times in BUSY.scrapes.items()})
    assert [row.replica_disruptions for row in count(dark)] == [
        0,
        0,
    ]  # nobody was read any more: that tells of the reader


def test_a_node_holds_as_many_replicas_as_the_pool_says() -> None:
    pool = altered(POOL, node=altered(POOL.node, replicas=3))
    row = count_pool(Observed(BUSY.series(), SLOTS), pool)[0]
    assert (row.replicas, row.nodes) == (2.0, 1.0)


def test_energy_is_that_of_the_pools_own_gpus() -> None:
    (row, *_) = count(BUSY)
    assert row.energy_joules == pytest.approx(300 * (400 + 350), abs=0.01)
    in_pods = [  # a replica's series have its pod's namespace, and a GPU's that of its exporter
        Series(n, {**labels, "namespace": "llm" if "replica" in labels else "monitoring"}, s)
        for n, labels, s in BUSY.series()
    ]
    assert count(in_pods)[0].energy_joules == row.energy_joules
    half = replace(BUSY, watts={"a": 400.0})
    assert {row.energy_joules for row in count(half)} == {
        None
    }  # b's GPUs are not known: the sum would be half the truth
    shared = [
        Series(n, {**labels, "model": "other", "replica": "x"}, s)
        for n, labels, s in BUSY.series()
        if n == c.GPU_ASSIGNMENT.name
    ]
    assert {row.energy_joules for row in count([*BUSY.series(), *shared])} == {None}


@pytest.mark.parametrize(
    ("metric", "unknown"),
    [
        (c.REQUESTS_WAITING, "waiting_max waiting_mean arrivals"),
        (c.KV_CACHE_USAGE, "kv_cache_usage_max kv_cache_usage_mean"),
        (c.FINISHED, "finished errors arrivals"),
        (c.REJECTED, "rejected"),
        (c.ABANDONED, "abandoned_queued abandoned_streaming"),
        (c.PREEMPTIONS, "preemptions"),
        (c.PROMPT_TOKENS, "input_tokens"),
    ],
    ids=str,
)
def test_what_one_replica_does_not_tell_is_unknown_of_the_pool_and_never_zero(metric: c.Metric, unknown: str) -> None:
    silent = [s for s in BUSY.series() if not (s.name == metric.name and s.labels["replica"] == "b")]
    full, row = count(BUSY)[0], count(silent)[0]
    told = {name for name in PoolSlot.__struct_fields__ if getattr(row, name) is not None}
    assert set(PoolSlot.__struct_fields__) - told == {*unknown.split()}
    assert all(getattr(row, name) == getattr(full, name) for name in told - {"arrivals", "samples"})


def test_a_value_that_is_no_number_is_no_reading() -> None:
    broken = [
        Series(s.name, s.labels, [(at, float("nan") if s.name == c.KV_CACHE_USAGE.name else v) for at, v in s.samples])
        for s in BUSY.series()
    ]
    assert {(row.kv_cache_usage_max, row.kv_cache_usage_mean) for row in count(broken)} == {(None, None)}


def test_slots_that_nobody_watched_are_not_there() -> None:
    holed = {name: [t for t in times if not T0 + 300 < t <= T0 + 1500] for name, times in BUSY.scrapes.items()}
    assert [row.slot for row in count(replace(BUSY, scrapes=holed))] == [SLOTS[0], *SLOTS[5:]]
    assert count(replace(BUSY, scrapes={"a": [], "b": []})) == []


def rows_of(ledger: Ledger) -> list[tuple[object, ...]]:
    return [astuple(row) for row in pool_rows(ledger.engine, "pool", SLOTS[0], SLOTS[-1] + 1)]


def test_one_go_step_by_step_twice_and_after_an_outage_give_the_same_rows(
    new_database: Callable[[], str], open_ledger: Opener
) -> None:
    truth = [astuple(row) for row in count(BUSY)]
    source, at_once = Recorded(BUSY.series()), open_ledger(new_database())
    ingest(SPEC, source, at_once, END)
    assert rows_of(at_once) == truth
    stepwise, twice = open_ledger(new_database()), Recorded(BUSY.series(), twice=True)
    for now in [*range(int(T0), int(T0) + 900, 60), *range(int(T0) + 1500, int(END) + 1, 60)]:
        twice.now = now
        ingest(SPEC, twice, stepwise, now)
    ingest(SPEC, twice, stepwise, END)
    assert rows_of(stepwise) == truth
    assert pools_recorded_until(stepwise.engine) == {"pool": stepwise.recorded_until()["fast"]}


def test_a_ledger_from_before_is_caught_up_and_a_source_that_forgets_takes_nothing_away(
    database: str, open_ledger: Opener
) -> None:
    ledger, source = open_ledger(database), Recorded(BUSY.series())
    ledger.record({("fast", "hash"): []}, int(END))  # the objective was booked by a Plimsoll that knew no pool slots
    ingest(SPEC, source, ledger, END)
    truth = rows_of(ledger)
    assert truth == [astuple(row) for row in count(BUSY)]
    late = [Series(s.name, s.labels, [x for x in s.samples if x[0] > T0 + 2000]) for s in BUSY.series()]
    ingest(SPEC, Recorded(late), ledger, END)
    assert rows_of(ledger) == truth


def test_old_slots_of_pools_go_with_those_of_objectives(database: str, open_ledger: Opener) -> None:
    ledger, day = open_ledger(database), 86400
    ledger.record({}, 0, {"pool": [PoolSlot(slot, 300.0, arrivals=1) for slot in (0, day - SLOT, day)]})
    prune(ledger.engine, day + 5.0, 2.0 * day)
    assert [row.slot for row in pool_rows(ledger.engine, "pool", 0, 1e9)] == [day]


def test_scraped_directly_the_same_pages_give_the_same_rows(tmp_path: Path, open_ledger: Opener) -> None:
    world = busy(stagger=0.0)
    ledger, pages = open_ledger(f"sqlite:///{tmp_path}/ledger.db"), {name: Page() for name in world.lives}
    shown = {name: dict(world.pages(name)) for name in world.lives}
    now = 0.0
    with ExitStack() as stack:
        urls = [f"http://{stack.enter_context(page.served())}" for page in pages.values()]
        source = stack.enter_context(closing(ScrapeSource(urls, ledger.engine, wanted(SPEC), clock=lambda: now)))
        for now in world.scrapes["a"]:
            for name, page in pages.items():
                page.text = text(shown[name].get(now, []))
            source.scrape()
            if now % 60 == 0:
                ingest(SPEC, source, ledger, now)
        ingest(SPEC, source, ledger, now)
    assert rows_of(ledger) == [astuple(row) for row in count(world)]


def test_the_api_lists_a_pools_slots_in_pages_and_says_null_for_unknown(database: str, open_ledger: Opener) -> None:
    service = Service(SPEC, Recorded([s for s in BUSY.series() if s.name != c.REJECTED.name]), open_ledger(database))
    service.clock = lambda: END
    service.ingest()
    client = TestClient(create_app(service))
    asked = "/api/v1/pools/pool/slots?from=2023-11-14T22:15:00Z&to=2023-11-14T22:55:00Z&limit=5"
    first = client.get(asked).json()
    second = client.get(first["next"]).json()
    slots = [*first["slots"], *second["slots"]]
    assert (len(first["slots"]), second["next"], len(slots)) == (5, None, 8)
    rows = count(BUSY)
    assert [slot["arrivals"] for slot in slots] == [(row.arrivals or 0) - (row.rejected or 0) for row in rows]
    assert (slots[0]["start"], slots[0]["rejected"], slots[0]["errors"]) == ("2023-11-14T22:15:00Z", None, 0)
    assert slots[0]["covered_seconds"] == 300.0
    assert client.get("/api/v1/pools/nope/slots").status_code == 404

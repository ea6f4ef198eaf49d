"""A restart, or a standby that takes over, changes no recommendation: what was measured is in the ledger."""

from collections.abc import Callable

from fleet_world import Fleet
from plimsoll.slo.capacity.model.signals import MEMORY
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from pool_signals import FULL_ONCE, NOW, served
from world import MODEL

Opener = Callable[[str], Ledger]
SPEC = load(f"""
version: plimsoll/v1
pools:
  - {{name: pool, model: {MODEL}, node: {{gpu: H100-80GB, gpus: 2}}, nodes: {{min: 1, max: 8}},
     timing: {{cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}}}
objectives:
  - {{id: ttft, pool: pool, indicator: {{time_to_first_token: 2s}}, target: 95%, window: 28d}}
  - {{id: tpot, pool: pool, indicator: {{time_per_output_token: 200ms}}, target: 95%, window: 28d}}
""")
BUSY = [*served("a", [40] * 80), *served("b", [40] * 80)]  # 89% of the throughput, and no replica is saturated


def service(ledger: Ledger, found: list[Series], at: float) -> Service:
    fleet = Fleet({}, {})
    fleet.now, fleet.found = at, tuple(later(found, at - NOW))
    return Service(SPEC, fleet, ledger, clock=lambda: fleet.now)


def later(found: list[Series], seconds: float) -> list[Series]:
    return [Series(name, labels, [(at + seconds, value) for at, value in samples]) for name, labels, samples in found]


def decided(one: Service) -> tuple[str, int, int | None, str | None]:
    one.recommend()
    assert one.runs.errors == {}
    found: Recommendation = one.recommendation("pool")
    return found.action, found.nodes, found.recommended_nodes, found.rule


def running(ledger: Ledger, at: float) -> Service:
    """Start a service while a replica is saturated, and let it run on until the replicas are only busy."""
    one = service(ledger, [*served("a", FULL_ONCE), *served("b", [0, 0, *([18] * 80)])], NOW)
    one.recommend()
    fleet = one.source
    assert isinstance(fleet, Fleet)
    for moment in (at - 60, at):
        one.recommend()
        fleet.now, fleet.found = moment, tuple(later(BUSY, moment - NOW))
    one.recommend()
    return one


def test_a_restarted_service_decides_as_the_running_one(database: str, open_ledger: Opener) -> None:
    at = NOW + 1200
    one = running(open_ledger(database), at)
    before = decided(one)
    throughput = one.throughput("pool")
    assert throughput is not None and throughput.typical == 3000
    one.leader.resign()
    restarted = service(open_ledger(database), BUSY, at)
    assert decided(restarted) == before
    assert restarted.throughput("pool") == throughput
    restarted.leader.resign()
    forgetful = service(open_ledger(database), BUSY, at + MEMORY + 60)
    decided(forgetful)
    assert forgetful.throughput("pool") is None, "older than half an hour: it says nothing about the pool of now"


def test_without_the_stored_state_the_decision_would_differ(
    open_ledger: Opener, new_database: Callable[[], str]
) -> None:
    at = NOW + 1200
    assert decided(running(open_ledger(new_database()), at)) != decided(service(open_ledger(new_database()), BUSY, at))


def test_a_standby_that_takes_over_decides_as_the_leader(new_database: Callable[[], str], open_ledger: Opener) -> None:
    url, at = new_database(), NOW + 1200
    leader = running(open_ledger(url), at)
    standby = service(open_ledger(url), BUSY, at)
    before = decided(leader)
    assert decided(standby) == before, "while it stands by"
    leader.leader.resign()
    assert standby.leads()
    assert decided(standby) == before, "once it leads"
    assert len(standby.ledger.recommendations("pool", 10)) >= 1

"""The service when its source is dead for a while: what it had measured and decided is still known afterwards, and nothing shrinks."""

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.testclient import TestClient

from fleet_world import Fleet
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series
from pool_signals import FULL_ONCE, IDLE, NOW, served
from world import spec


@pytest.mark.parametrize(("minutes", "capacity"), [(10, 3000.0), (40, None)])
def test_a_dead_source_changes_nothing_and_is_forgotten_only_after_half_an_hour(
    database: str, open_ledger: Callable[[str], Ledger], minutes: int, capacity: float | None
) -> None:
    fleet = Fleet({}, {})
    fleet.found = (*served("a", FULL_ONCE), *served("b", IDLE))
    service = Service(spec(), fleet, open_ledger(database), clock=lambda: fleet.now)
    client = TestClient(create_app(service))

    def said() -> dict[str, Any]:
        service.recommend()
        return dict(client.get("/api/v1/pools/pool/recommendation").json())

    before = said()
    assert (before["action"], before["evidence"]["saturation_tokens_per_second_new_replica"]) == ("scale_in", 3000.0)
    fleet.now, fleet.down = NOW + 60, True
    dead = said()
    assert (dead["action"], dead["recommended_nodes"]) == ("insufficient_data", None)
    assert dead["reason_codes"] == ["source_unavailable"]
    # Back, with a quiet replica and nothing read in between.
    fleet.now, fleet.down = NOW + 60 * minutes, False
    late = [(at + 60 * minutes, value) for at, value in served("b", IDLE)[0].samples[-3:]]
    fleet.found = tuple(
        Series(item.name, item.labels, [*item.samples, *((at, item.samples[-1][1]) for at, _ in late)])
        for item in served("b", IDLE)
    )
    after = said()
    assert after["action"] in ("hold", "scale_out")
    assert after["evidence"].get("saturation_tokens_per_second_new_replica") == capacity
    assert "scale_in_blocked_data" in after["reason_codes"]

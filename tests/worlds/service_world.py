"""One hour of one replica with a bad stretch of 144 s, and the exclusion that covers it."""

from pathlib import Path

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import load
from world import SPEC_TEXT, Process, World

T0 = 1_700_000_100.0


NOW = T0 + 3600
THREE_SLOS = load(
    SPEC_TEXT.replace("window: 28d", "window: 14h").replace(
        "objectives:\n", "  - {name: other, model: other}\nobjectives:\n"
    )
    + "  - {id: slow, pool: pool, indicator: {time_to_first_token: 600ms}, target: 99%, window: 14h}\n"
    + "  - {id: elsewhere, pool: other, indicator: availability, target: 99%, window: 28d}\n"
)
INCIDENT = {"from": rfc3339(T0 + 2400), "to": rfc3339(T0 + 2544), "created_by": "ann", "reason": "load test"}


def world() -> World:
    """One hour of one replica: 1,000 requests, of which the 40 between minute 40 and 42 were bad."""
    requests = [(T0 + 3.6 * i, not 2400 < 3.6 * i <= 2544) for i in range(1000)]
    return World({"a": [Process(T0 - 86400, requests)]}, {"a": [T0 - 60 + 15 * i for i in range(246)]})


def three_slos(folder: Path) -> Service:
    """The service over that hour, for two SLOs of its pool and one of a pool without data. Its ledger is a file in a folder."""
    found = Service(THREE_SLOS, world(), Ledger(open_database(f"sqlite:///{folder}/ledger.db")), clock=lambda: NOW)
    found.ingest()
    return found

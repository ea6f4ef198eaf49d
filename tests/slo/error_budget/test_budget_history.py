"""The budget's history: each of its points is what evaluating at that moment would say, whatever the window, zone and exclusions."""

from collections.abc import Callable
from itertools import pairwise
from random import Random

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.calendar import SLOT, rfc3339
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.ledger.evaluation import evaluate
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.budget_history import POINTS
from plimsoll.slo.service.api.models import BudgetHistory, BudgetPoint
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.spec.objectives import load
from world import SPEC_TEXT, World

DAY = 86400
BEGIN = 1_699_920_000  # midnight of 2023-11-14, UTC
WINDOWS = {
    "days30": "30d",
    "days28": "28d",
    "hours37": "37h",
    "odd": "1d",
    "minutes": "95m",
    "month": "{calendar: month, timezone: Europe/Berlin}",
    "week": "{calendar: week, timezone: Asia/Kolkata}",
}
SPEC = load(
    SPEC_TEXT.partition("objectives:")[0]
    + "objectives:\n"
    + "".join(
        f"  - {{id: {name}, pool: pool, indicator: {{time_to_first_token: 600ms}}, target: 95%, window: {window}}}\n"
        for name, window in WINDOWS.items()
    )
)


def filled(ledger: Ledger, days: float) -> Ledger:
    random = Random(11)  # noqa: S311 - no secret
    found = []
    for slot in range(BEGIN, int(BEGIN + days * DAY), SLOT):
        if random.random() < 0.9:
            total = random.choice([0, 1, 40])
            found.append(
                SlotCount(slot, random.randint(0, total), total, random.choice([300.0, 299.5, 10.0]), "per_request")
            )
    ledger.record({(item.id, item.spec_hash): found for item in SPEC.objectives}, 0)
    return ledger


@pytest.mark.parametrize("days", [33.3, 0.9, 0.01])
def test_every_point_is_what_judging_at_that_moment_says(
    database: str, open_ledger: Callable[[str], Ledger], days: float
) -> None:
    ledger, now = filled(open_ledger(database), days), BEGIN + days * DAY + 61.5
    exclusions = [Exclusion(now - 5 * DAY - 7, now - 4.9 * DAY, "a", "b"), Exclusion(now - 4000, now - 3600, "a", "b")]
    service = Service(SPEC, World({}, {}), ledger, clock=lambda: now)
    service.records.exclusions = lambda: exclusions  # type: ignore[method-assign]
    client = TestClient(create_app(service))
    for objective in SPEC.objectives:
        answer = BudgetHistory.model_validate_json(
            client.get(f"/api/v1/slos/{objective.id}/budget").content, strict=True
        )
        history = answer.points
        assert len(history) <= POINTS
        moments = [point.at for point in history]
        assert moments == sorted(moments)
        assert moments[-1] == rfc3339(now)
        for point in history[:: max(1, len(history) // 12)] + history[-1:]:
            at = next(moment for moment in _times(now) if rfc3339(moment) == point.at)
            (then,) = evaluate(ledger, [objective], exclusions, at)
            assert (point.bad, point.total) == (then.counted.bad, then.counted.total), (objective.id, point.at)
            assert point.budget_remaining == then.budget_remaining
        if history[0].total or len(history) > 2:
            _shares_add_up(ledger, objective.id, history, exclusions, now)


def _times(now: float) -> list[float]:
    return [now, *(float(at) for at in range(BEGIN, int(now) + SLOT, SLOT))]


def _shares_add_up(
    ledger: Ledger, name: str, history: list[BudgetPoint], exclusions: list[Exclusion], now: float
) -> None:
    """The share of a step that was observed is the seconds of its slots over its length."""
    at_of = {rfc3339(at): at for at in _times(now)}
    slots = {row.slot: row.covered_seconds for row in ledger.slots(name, 0, 1e12)}
    gone = [slot for slot in slots if any(slot < e.end and slot + SLOT > e.start for e in exclusions)]
    for before, point in pairwise(history[:-1]):
        low, high = at_of[before.at], at_of[point.at]
        seen = sum(seconds for slot, seconds in slots.items() if low <= slot < high and slot not in gone)
        assert point.coverage == pytest.approx(min(1.0, seen / (high - low)), abs=1e-9)

"""What was done in the demo's past: recommendations, an answer to one, an exclusion, saved reviews, and a correction after its review."""

from collections.abc import Iterator
from functools import partial

from plimsoll.compose.demo.history import plan
from plimsoll.compose.demo.history.measure import replicas_of
from plimsoll.slo.calendar import HOUR, SLOT, WEEK, start_of, week_of
from plimsoll.slo.capacity.forecast_models import PoolForecast
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.error_budget.exclusions import Exclusion
from plimsoll.slo.ledger.documents import SavedReview, save_review
from plimsoll.slo.ledger.manual_changes import Acknowledgement, acknowledge, exclude
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.records import Records
from plimsoll.slo.reports.review import review
from plimsoll.slo.reports.review_archive import NOT_SAVED
from plimsoll.slo.sli.increments import SlotCount
from plimsoll.slo.spec.objectives import Pool, Spec

ACTOR = "demo"
REVIEWED_AFTER = 1200.0  # seconds after a week's end


def store_events(spec: Spec, ledger: Ledger, now: float) -> None:
    """Store everything; `now` is in Unix seconds. The slots must be stored before."""
    made = list(_recommendations(spec, now))
    for found in made:
        ledger.save_recommendation(found.pool, found.at, found.model_dump(), None)
    last = max((one for one in made if one.action == "scale_out"), key=lambda one: one.at)
    reason = "SIMULATED: the peak was over before a node had started"
    acknowledge(ledger.engine, Acknowledgement(last.pool, round(last.at), "no", ACTOR, reason, last.at + HOUR))
    test = next(one for one in plan.INCIDENTS if one.kind == "overload" and not one.nodes)
    begin = plan.begins(now, test.days_ago, test.hour)
    reason = "SIMULATED load test"
    excluded = Exclusion(begin, begin + test.slots * SLOT, ACTOR, reason, pool=test.pool)
    exclude(ledger.engine, excluded, begin - HOUR)
    _save_reviews(spec, ledger, now)
    _correct(ledger, now)


def _recommendations(spec: Spec, now: float) -> Iterator[Recommendation]:
    """Yield that of each incident, and that of an hour later."""
    for one in plan.INCIDENTS:
        if not one.nodes:
            continue
        begin, nodes = plan.begins(now, one.days_ago, one.hour), replicas_of(spec.pool(one.pool))
        kinds = {"full cache": ("kv_cache", "kv_cache_usage"), "replica lost": ("queue", "queue_depth")}
        rule, code = kinds.get(one.kind, ("demand", "demand_and_backlog"))
        text = f"SIMULATED past: {one.kind} in {one.pool}; {one.nodes} nodes required."
        steps = (
            (begin + 120, "scale_out", one.nodes, rule, code, text),
            (
                begin + one.slots * SLOT + 3600,
                "hold",
                nodes,
                "hold",
                "scale_in_possible",
                "SIMULATED past: the demand is back to normal.",
            ),
        )
        for at, action, target, by, reason, sentence in steps:
            yield Recommendation.model_validate(
                {
                    "pool": one.pool,
                    "action": action,
                    "nodes": target - nodes,
                    "current_nodes": nodes,
                    "recommended_nodes": target,
                    "reasons": [sentence],
                    "reason_codes": [reason],
                    "evidence": {},
                    "confidence": 1.0,
                    "at": at,
                    "simulated": True,
                    "rule": by,
                }
            )


def _save_reviews(spec: Spec, ledger: Ledger, now: float) -> None:
    """Save the reviews of the whole weeks but the last, as they would have been made on their Mondays; the service makes the last one.

    Without a forecast, whose fit takes seconds.
    """
    nothing = "not part of the simulated past"
    for back in range(int(plan.DAYS // 7) - 1, 1, -1):
        week = week_of(now - back * WEEK)
        made_at = start_of(week) + WEEK + REVIEWED_AFTER
        if made_at < now:
            records = Records(spec, ledger, lambda at=made_at: at)  # type: ignore[misc]
            none = partial(_no_forecast, week, nothing)
            made = review(records, week, none)
            body = made.model_dump_json(by_alias=True, exclude=NOT_SAVED)
            save_review(ledger.engine, SavedReview(week, round(made_at), body))


def _no_forecast(week: str, reason: str, pool: Pool, *_: object) -> PoolForecast:
    return PoolForecast(pool=pool.name, data_through_week=week, unavailable_reason=reason)


def _correct(ledger: Ledger, now: float) -> None:
    """Correct the slot whose failed requests were a test client's: its review then shows a revision."""
    begin = plan.begins(now, plan.CORRECTED.days_ago, plan.CORRECTED.hour)
    (slot,) = ledger.slots("chat-availability", begin, begin + 1)
    fixed = SlotCount(begin, slot.good, slot.good, slot.covered_seconds, slot.source)
    reason = "SIMULATED: the failed requests came from a test client"
    ledger.correct("chat-availability", fixed, ACTOR, reason, now - 2 * HOUR)

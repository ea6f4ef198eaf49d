"""Weekly reviews are saved once, when their week has ended and is recorded; a later correction is shown as a revision."""

from typing import Any

from plimsoll.slo.calendar import WEEK, rfc3339, start_of, week_of
from plimsoll.slo.capacity.forecast_models import PoolForecast
from plimsoll.slo.ledger.documents import SavedReview, last_saved_week, save_review, saved_review
from plimsoll.slo.reports.records import Records
from plimsoll.slo.reports.review import review
from plimsoll.slo.reports.review_models import Review, Revision

MAX_WEEKS_AT_ONCE = 8  # reviews generated at once after a long downtime
NOT_SAVED = {"generated_at", "revisions"}


def save_due_reviews(records: Records) -> None:
    """Generate and save the missing reviews of weeks that have ended and are recorded.

    It runs often and is idempotent: a Monday without a service, a killed leader, or a week that was recorded late only delay it.
    """
    ledger, now = records.ledger, records.clock()
    last, ids = last_saved_week(ledger.engine), [objective.id for objective in records.spec.objectives]
    weeks = [week_of(now - back * WEEK) for back in range(1 if last is None else MAX_WEEKS_AT_ONCE, 0, -1)]
    for week in weeks:
        end = start_of(week) + WEEK
        # Nothing to review before the first slot. Only data from after a week shows that it has ended: neither a failed
        # source nor a clock that runs ahead may generate a review of a week without data.
        first_seen, last_seen = ledger.last(ids, end), ledger.last(ids, now)
        if (last is not None and week <= last) or first_seen is None or last_seen is None or last_seen < end:
            continue
        made = review(records, week)
        if made.complete:
            body = made.model_dump_json(by_alias=True, exclude=NOT_SAVED)
            save_review(ledger.engine, SavedReview(week, round(now), body))


def saved_or_current(records: Records, week: str, recompute: bool = False) -> Review:
    """Return a week's saved review with its revisions; the current one where none is saved, or if `recompute`.

    Raises ValueError for a week that has not begun or does not exist.
    """
    start_of(week)
    saved = None if recompute else saved_review(records.ledger.engine, week)
    if saved is None:
        return review(records, week)
    found = Review.model_validate_json(saved.body).model_copy(update={"generated_at": rfc3339(saved.generated_at)})
    return found if start_of(week) - WEEK < records.pruned_until else _compared(records, found)


def _compared(records: Records, saved: Review) -> Review:
    """Add to a saved review its revisions, and of now whether recommendations were followed and answered.

    Compared is all but the forecast, API prices and changes of settings, which are estimates of their day, and causes, which take too long for a page.
    """
    nothing = PoolForecast(pool="", data_through_week=saved.week, unavailable_reason="not compared")
    current = review(records, saved.week, lambda *_: nothing, brief=True)
    then, now = _facts(saved), _facts(current)
    revisions = [
        Revision(path=path, saved=then.get(path), current=now.get(path))
        for path in dict.fromkeys((*then, *now))
        if then.get(path) != now.get(path)
    ]
    answered = {pool.name: {"recommendations": pool.recommendations} for pool in current.pools}
    pools = [pool.model_copy(update=answered.get(pool.name, {})) for pool in saved.pools]
    return saved.model_copy(update={"revisions": revisions, "pools": pools})


def _facts(found: Review) -> dict[str, Any]:
    """Return a review's figures as path -> value."""
    slos = {item.id: item.model_dump(exclude={"bad_by_cause"}) for item in found.slos}
    pools = {
        item.name: item.model_dump(exclude={"forecast", "api_comparison", "recommendations", "settings", "shadow"})
        for item in found.pools
    }
    return dict(_flat("", {"complete": found.complete, "slos": slos, "pools": pools}))


def _flat(path: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(path, value)]
    return [pair for key, one in value.items() for pair in _flat(f"{path}/{key}".lstrip("/"), one)]

"""Weekly reviews are made once, when their week is over and booked, and kept: a later correction is shown beside them, never in them."""

from typing import Any

from plimsoll.slo.calendar import WEEK, rfc3339, start_of, week_of
from plimsoll.slo.capacity.forecast_models import PoolForecast
from plimsoll.slo.ledger.documents import Kept, keep_review, kept_review, last_kept
from plimsoll.slo.reports.records import Records
from plimsoll.slo.reports.review import review
from plimsoll.slo.reports.review_models import Change, Review

CAUGHT_UP = 8  # weeks at most that are reviewed at once, after a long time in which no service ran
OWN = {"generated_at", "changed"}  # what is not part of the kept text


def make_due(records: Records) -> None:
    """Make and keep the reviews of weeks that are over, booked, and have none.

    It runs often and does nothing when there is nothing to do, so a Monday on which no service ran, a leader that was
    killed half-way, or a week that was booked late only delay it.
    """
    ledger, now = records.ledger, records.clock()
    last, ids = last_kept(ledger.engine), [objective.id for objective in records.spec.objectives]
    weeks = [week_of(now - back * WEEK) for back in range(1 if last is None else CAUGHT_UP, 0, -1)]
    for week in weeks:
        end = start_of(week) + WEEK
        # Before the first slot of all there was nothing to review. And only what was seen after a week shows that it is
        # over: neither a source that is dead nor a clock that runs ahead makes a review of what nobody saw.
        first_seen, last_seen = ledger.last(ids, end), ledger.last(ids, now)
        if (last is not None and week <= last) or first_seen is None or last_seen is None or last_seen < end:
            continue
        made = review(records, week)
        if made.complete:
            keep_review(ledger.engine, Kept(week, round(now), made.model_dump_json(by_alias=True, exclude=OWN)))


def kept_or_fresh(records: Records, week: str, fresh: bool = False) -> Review:
    """Return a week's review as it was kept, with what has changed since; worked out now where none is, or if `fresh`.

    Raises ValueError for a week that has not begun or is none.
    """
    start_of(week)
    kept = None if fresh else kept_review(records.ledger.engine, week)
    if kept is None:
        return review(records, week)
    found = Review.model_validate_json(kept.body)
    return found.model_copy(update={"generated_at": rfc3339(kept.generated_at), "changed": _changed(records, found)})


def _changed(records: Records, kept: Review) -> list[Change] | None:
    """Compare a kept review with what would be made today: all but the forecast and APIs' prices, which are judgements of their day,
    and what budgets were spent on, which would take too long for a page."""
    if start_of(kept.week) - WEEK < records.pruned_until:
        return None
    nothing = PoolForecast(pool="", data_through_week=kept.week, unavailable_reason="not compared")
    then, now = _facts(kept), _facts(review(records, kept.week, lambda *_: nothing, brief=True))
    younger = then.keys() - _facts(kept, said=True).keys()  # what no review told yet when this one was made
    return [
        Change(what=what, kept=then.get(what), now=now.get(what))
        for what in dict.fromkeys((*then, *now))
        if then.get(what) != now.get(what) and what not in younger
    ]


def _facts(found: Review, said: bool = False) -> dict[str, Any]:
    """Write a review's facts as path -> value; of those only that were `said`, or with defaults for the others."""
    objectives = {item.id: item.model_dump(exclude={"spent_on"}, exclude_unset=said) for item in found.objectives}
    pools = {
        item.name: item.model_dump(exclude={"forecast", "api_comparison"}, exclude_unset=said) for item in found.pools
    }
    return dict(_flat("", {"complete": found.complete, "objectives": objectives, "pools": pools}))


def _flat(path: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        return [(path, value)]
    return [pair for key, one in value.items() for pair in _flat(f"{path}/{key}".lstrip("/"), one)]

"""Changes since the previous week: figures of the review, SLO definitions, and manual changes."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.manual_changes import Redefined
from plimsoll.slo.reports.review_models import SloReview, WeeklyChange, met
from plimsoll.slo.reports.review_pool import PoolReview

MIN_RELATIVE_CHANGE = 0.1  # of a saturation throughput: measurements of the same replica differ by some percent


def weekly_changes(
    slos: Sequence[SloReview],
    pools: Sequence[PoolReview],
    definitions: Sequence[Redefined],
    audit: Sequence[dict[str, Any]],
) -> list[WeeklyChange]:
    """Return the changes, the most important first; `audit` are audit rows in order of time."""
    return [
        *(item for slo in slos for item in _slo_met(slo)),
        *(item for pool in pools for item in _of_pool(pool)),
        *(
            WeeklyChange(
                kind="definition",
                subject=item.objective,
                previous=item.before,
                current=item.after,
                at=rfc3339(item.slot),
            )
            for item in definitions
        ),
        *_exclusions(audit),
        *_corrections(audit),
    ]


def _slo_met(item: SloReview) -> Iterator[WeeklyChange]:
    before = met(item.previous, item.target)
    if None not in (before, item.met) and before != item.met:
        yield WeeklyChange(kind="slo_met", subject=item.id, previous=before, current=item.met)


def _of_pool(pool: PoolReview) -> Iterator[WeeklyChange]:
    kinds: tuple[Literal["survives_node_loss", "recommended_nodes", "saturation_tokens_per_second_per_replica"], ...]
    kinds = ("survives_node_loss", "recommended_nodes", "saturation_tokens_per_second_per_replica")
    for kind in kinds:
        before, after = getattr(pool, f"{kind}_previous"), getattr(pool, kind)
        same = before == after
        if kind == "saturation_tokens_per_second_per_replica" and before and after:
            same = abs(after / before - 1) < MIN_RELATIVE_CHANGE
        if None not in (before, after) and not same:
            yield WeeklyChange(kind=kind, subject=pool.name, previous=before, current=after)


def _exclusions(rows: Iterable[dict[str, Any]]) -> Iterator[WeeklyChange]:
    for row in rows:
        if not row["action"].startswith("exclusion"):
            continue
        was, now = _body(row["before"]), _body(row["after"])
        span = f"{rfc3339(now['start'])} to {rfc3339(now['end'])}"
        subject = now["objective"] or now["pool"] or "everything"
        details = {"at": rfc3339(row["at"]), "actor": row["actor"], "reason": row["reason"]}
        yield WeeklyChange(
            kind="exclusion", subject=subject, previous=span if was else None, current=None if was else span, **details
        )


def _corrections(rows: Iterable[dict[str, Any]]) -> Iterator[WeeklyChange]:
    """Yield one change for all slots that one actor corrected for one reason: good and total requests before and after."""
    together: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["action"] == "slot corrected":
            together[row["subject"].split()[0], row["actor"], row["reason"]].append(row)
    for (objective, actor, reason), found in together.items():
        # Of a slot that was corrected more than once, what it held at first and what it holds now.
        was = {row["subject"]: _body(row["before"]) for row in reversed(found)}
        now = {row["subject"]: _body(row["after"]) for row in found}
        details = {"at": rfc3339(found[0]["at"]), "actor": actor, "reason": reason}
        yield WeeklyChange(
            kind="correction", subject=objective, previous=_sum(was.values()), current=_sum(now.values()), **details
        )


def _sum(bodies: Iterable[dict[str, Any]]) -> str | None:
    """Good of total requests; None where there was no slot at all."""
    known = [body for body in bodies if body]
    if not known:
        return None
    good, total = (sum(body[name] for body in known) for name in ("good", "total"))
    return f"{good:,} good of {total:,}"


def _body(text: str | None) -> dict[str, Any]:
    return json.loads(text) if text else {}

"""What changed since the week before: what the review's own figures tell, what was defined again, and what was done by hand."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.manual_changes import Redefined
from plimsoll.slo.reports.review_models import Difference, ObjectiveReview, met
from plimsoll.slo.reports.review_pool import PoolReview

NOTICED = 0.1  # by which a replica's capacity must differ to be told: measurements of the same differ by some percent


def differences(
    objectives: Sequence[ObjectiveReview],
    pools: Sequence[PoolReview],
    definitions: Sequence[Redefined],
    by_hand: Sequence[dict[str, Any]],
) -> list[Difference]:
    """List them, what matters most first; `by_hand` are rows of the audit, in order of time."""
    return [
        *(item for objective in objectives for item in _kept(objective)),
        *(item for pool in pools for item in _of_pool(pool)),
        *(
            Difference(
                kind="definition", subject=item.objective, before=item.before, after=item.after, at=rfc3339(item.slot)
            )
            for item in definitions
        ),
        *_exclusions(by_hand),
        *_corrections(by_hand),
    ]


def _kept(item: ObjectiveReview) -> Iterator[Difference]:
    before = met(item.before, item.target)
    if None not in (before, item.met) and before != item.met:
        yield Difference(kind="kept", subject=item.id, before=before, after=item.met)


def _of_pool(pool: PoolReview) -> Iterator[Difference]:
    kinds: tuple[Literal["n_minus_1", "recommended_nodes", "replica_capacity"], ...]
    kinds = ("n_minus_1", "recommended_nodes", "replica_capacity")
    for kind in kinds:
        before, after = getattr(pool, f"{kind}_before"), getattr(pool, kind)
        same = before == after
        if kind == "replica_capacity" and before and after:
            same = abs(after / before - 1) < NOTICED
        if None not in (before, after) and not same:
            yield Difference(kind=kind, subject=pool.name, before=before, after=after)


def _exclusions(rows: Iterable[dict[str, Any]]) -> Iterator[Difference]:
    for row in rows:
        if not row["action"].startswith("exclusion"):
            continue
        was, now = _body(row["before"]), _body(row["after"])
        span = f"{rfc3339(now['start'])} to {rfc3339(now['end'])}"
        subject = now["objective"] or now["pool"] or "everything"
        told = {"at": rfc3339(row["at"]), "actor": row["actor"], "reason": row["reason"]}
        yield Difference(
            kind="exclusion", subject=subject, before=span if was else None, after=None if was else span, **told
        )


def _corrections(rows: Iterable[dict[str, Any]]) -> Iterator[Difference]:
    """One for all slots that somebody corrected for one reason, with good of total requests in them before and after."""
    together: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["action"] == "slot corrected":
            together[row["subject"].split()[0], row["actor"], row["reason"]].append(row)
    for (objective, actor, reason), found in together.items():
        # Of a slot that was corrected more than once, what it held at first and what it holds now.
        was = {row["subject"]: _body(row["before"]) for row in reversed(found)}
        now = {row["subject"]: _body(row["after"]) for row in found}
        told = {"at": rfc3339(found[0]["at"]), "actor": actor, "reason": reason}
        yield Difference(
            kind="correction", subject=objective, before=_sum(was.values()), after=_sum(now.values()), **told
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

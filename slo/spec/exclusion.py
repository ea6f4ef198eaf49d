"""The objectives file's exclusions: one time range, one that recurs by a rule of RFC 5545, or the time in which a query has a result."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from plimsoll.slo.spec.names import Name, ShortText, Timestamp, time_zone
from plimsoll.slo.units import shown

if TYPE_CHECKING:
    from dateutil.rrule import rrule

# At most one occurrence a day: parts that choose several times of a day are left out, and the time of day is that of `from`.
_PARTS = {
    "FREQ": "DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": r"[1-9]\d{0,2}",
    "UNTIL": r"\d{8}T\d{6}Z",
    "BYDAY": r"[A-Z0-9,+-]+",
    "BYMONTHDAY": r"[0-9,-]+",
    "BYMONTH": r"[0-9,]+",
    "BYSETPOS": r"[0-9,-]+",
    "WKST": "[A-Z]{2}",
}
_CHECKED = timedelta(days=5 * 366)  # from the first occurrence, in which occurrences must not overlap


class Recurrence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Repeats an exclusion by a recurrence rule of RFC 5545 (RRULE), at the local time of `timezone`.

    The rule's parts are FREQ (DAILY, WEEKLY, MONTHLY or YEARLY), INTERVAL, BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS, WKST and UNTIL: the
    last start, in UTC. Without UNTIL it has no end. A local time that the clock skips is taken as if it had not yet been put forward, one
    that comes twice is the first.
    """

    rule: ShortText
    timezone: ShortText = "UTC"

    def __post_init__(self) -> None:
        time_zone(self.timezone)
        parts = [part.partition("=")[::2] for part in self.rule.split(";")]
        named = dict(parts)
        valid = all(key in _PARTS and re.fullmatch(_PARTS[key], value) for key, value in parts)
        if not valid or len(named) < len(parts) or "FREQ" not in named:
            raise ValueError(
                f"{shown(self.rule)} isn't a recurrence rule. Write FREQ=WEEKLY;BYDAY=SU, with parts of {', '.join(_PARTS)}."
            )
        try:
            self._rule(datetime(2024, 1, 1, tzinfo=UTC))
        except ValueError as error:
            raise ValueError(f"{shown(self.rule)} isn't a recurrence rule: {error}. See RFC 5545, RRULE.") from error

    def _rule(self, first: datetime) -> "rrule":
        # Imported here: a plugin reads the file in vLLM's own environment, which need not have it.
        from dateutil.rrule import rrulestr  # noqa: PLC0415

        return rrulestr(self.rule, dtstart=first.astimezone(time_zone(self.timezone)))

    def starts(self, first: datetime, last: datetime) -> Iterator[datetime]:
        """Yield when each occurrence from `first` to `last` begins."""
        rule = self._rule(first)
        # With an end: a rule that never occurs, such as a February 30, would be searched until the year 9999.
        yield from rule.replace(until=min(last.astimezone(UTC), rule._until or last))


class Exclusion(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}, kw_only=True
):
    """Time that isn't counted, with its creator and reason: of one objective, of one pool, or (neither given) of all.

    Either from `from` to `to`; with `recurrence`, they are the first occurrence, and every other one lasts as long. Or every slot in
    which `query`, a PromQL expression, had a result other than 0, such as `kube_node_spec_unschedulable == 1`. No result, no exclusion.
    """

    start: Timestamp | None = None
    end: Timestamp | None = None
    query: ShortText | None = None
    created_by: ShortText
    reason: ShortText
    objective: Name | None = None
    pool: Name | None = None
    recurrence: Recurrence | None = None

    def __post_init__(self) -> None:
        if self.objective and self.pool:
            raise ValueError("names an objective and a pool. Name one of them, or neither to exclude everything.")
        if self.query is not None:
            if self.start or self.end or self.recurrence:
                raise ValueError("has a query and a time. Name `query`, or `from` and `to`.")
            return
        if self.start is None or self.end is None:
            raise ValueError("has neither a time nor a query. Name `from` and `to`, or `query`.")
        if self.end <= self.start:
            raise ValueError(f"to {self.end.isoformat()} isn't after from {self.start.isoformat()}. Swap them.")
        found = self.occurrences(self.start + _CHECKED)
        if not found or found[0][0] != self.start.timestamp():
            raise ValueError(
                f"from {self.start.isoformat()} isn't an occurrence of the recurrence rule. Set it to the first one."
            )
        if any(start < end for (_, end), (start, _) in pairwise(found)):
            raise ValueError("occurrences overlap: nothing would be counted. Shorten the exclusion or change the rule.")

    def covers(self, objective: str, pool: str) -> bool:
        """Whether it takes anything out of an objective of a pool."""
        return self.objective in (None, objective) and self.pool in (None, pool)

    def occurrences(self, until: datetime) -> Sequence[tuple[float, float]]:
        """Return start and end of each occurrence that begins by a moment, in Unix seconds; without a rule, the only one. None of a query."""
        if self.start is None or self.end is None:
            return ()
        return _occurrences(self.start, self.end, self.recurrence, until)


@lru_cache(maxsize=1024)
def _occurrences(
    start: datetime, end: datetime, recurrence: Recurrence | None, until: datetime
) -> Sequence[tuple[float, float]]:
    if recurrence is None:
        return ((start.timestamp(), end.timestamp()),)
    # By their moments: two datetimes of one time zone subtract by the clock on the wall, also over a change of clocks.
    seconds = end.timestamp() - start.timestamp()
    return tuple((at, at + seconds) for at in (one.timestamp() for one in recurrence.starts(start, until)))

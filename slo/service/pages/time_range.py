"""The time range of a page's charts and tables, as its address has it: a link shows the same to everybody."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Query

from plimsoll.slo.calendar import DAY, HOUR, rfc3339
from plimsoll.slo.service.http.parameters import Since, Until, unix
from plimsoll.slo.service.http.problems import ApiError

Range = Literal["1h", "6h", "24h", "7d", "window"]
SECONDS: dict[Range, float] = {"1h": HOUR, "6h": 6 * HOUR, "24h": DAY, "7d": 7 * DAY}
TEXTS: dict[Range, str] = {"1h": "1 hour", "6h": "6 hours", "24h": "1 day", "7d": "1 week", "window": "SLO window"}
MOST_DAYS = 100  # 28,800 slots


@dataclass(frozen=True)
class Shown:
    """A range in Unix seconds. `name` is empty for one from a moment to a moment, `names` are those to choose from."""

    start: float
    end: float
    name: Range | Literal[""]
    names: tuple[Range, ...]

    @property
    def query(self) -> str:
        """The range as parameters of an address of the API or of a download."""
        return f"from={rfc3339(self.start)}&to={rfc3339(self.end)}"


@dataclass(frozen=True)
class Asked:
    """What the address asks for: a range until now, or one from a moment to a moment."""

    name: Range | None
    hours: int | None
    since: float | None
    until: float | None

    def shown(self, now: float, window_start: float | None = None, usual: Range = "24h") -> Shown:
        """Return the range at a moment, `usual` where none is asked for; `window` needs the start of the SLO's window.

        422 for a range that there isn't.
        """
        names: tuple[Range, ...] = (*SECONDS,) if window_start is None else (*SECONDS, "window")
        if self.since is not None or self.until is not None:
            end = now if self.until is None else self.until
            start = end - DAY if self.since is None else self.since
            if not 0 <= start < end or end - start > MOST_DAYS * DAY:
                raise ApiError(
                    422, "invalid_time_range", f"from, to: at most {MOST_DAYS} days, with `to` after `from`."
                )
            return Shown(start, end, "", names)
        name = self.name or usual
        if name == "window" and window_start is not None and self.hours is None:
            return Shown(max(window_start, now - MOST_DAYS * DAY), now, "window", names)
        seconds = SECONDS.get(name, DAY) if self.hours is None else self.hours * HOUR
        return Shown(now - seconds, now, next((name for name, one in SECONDS.items() if one == seconds), ""), names)


def _asked(
    name: Annotated[Range | None, Query(alias="range")] = None,
    hours: Annotated[int | None, Query(ge=1, le=24 * 28)] = None,
    since: Since = None,
    until: Until = None,
) -> Asked:
    return Asked(name, hours, None if since is None else unix(since), None if until is None else unix(until))


AskedRange = Annotated[Asked, Depends(_asked)]

"""Recorded series of SLOs: good and total requests over 5 minutes, and burn rate and bad requests of each window.

Good and total are recorded separately, so each longer window is a ratio of sums over requests, never a mean of ratios, and an
idle hour has no weight. Limits of these rules: `rate` misses the first value of a counter that starts above zero, and
extrapolates over gaps. The ledger does neither: it provides the error budget, these series only drive alerts.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from plimsoll.alerts.rules import Recording
from plimsoll.slo.calendar import DAY, HOUR
from plimsoll.slo.error_budget import burn_rate
from plimsoll.slo.metrics import recorded
from plimsoll.slo.sli.bucket_bounds import at_most, below
from plimsoll.slo.sli.evidence import Counting, Near, Way, countings
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Objective, Pool
from plimsoll.slo.units import duration_text

RATE = 300.0  # seconds, the window of GOOD_RATE and TOTAL_RATE; must contain at least four scrapes
REPLICA = "instance, replica"
STEP = (
    60.0  # seconds between the points at which requests of up to an hour are summed; those of longer windows every RATE
)


def recordings(objective: Objective, pool: Pool) -> list[Recording]:
    """Return an SLO's recorded rates, and what its outage tier reads. Pages of an SLO with bounds read the lower bounds."""
    labels = {"objective": objective.id, "pool": objective.pool}
    ways = [_evidence(way) for way in countings(objective, pool)]
    expressions = {
        recorded.GOOD_RATE: _sum(way.good for way in ways),
        recorded.TOTAL_RATE: _sum(way.total for way in ways),
        recorded.TARGET: f"vector({float(objective.target)!r})",
        **_now(objective, pool, RATE, lower_bound=False),
    }
    if objective.has_bounds:
        expressions[recorded.GOOD_UPPER_BOUND] = _sum(way.upper_bound for way in ways)
        expressions |= _now(objective, pool, RATE, lower_bound=True)
    for window in (one for one in _windows(objective, lower_bound=False) if one < RATE):
        for lower_bound in sorted({False, objective.has_bounds}):
            expressions |= _now(objective, pool, window, lower_bound)
    return [Recording(name, expr, labels) for name, expr in expressions.items()]


def _now(objective: Objective, pool: Pool, window: float, lower_bound: bool) -> dict[str, str]:
    """Return burn rate and bad requests of a window that isn't longer than that of the recorded rates."""
    good, total = of(_good(lower_bound), objective), of(recorded.TOTAL_RATE, objective)
    if window < RATE:
        ways = [_evidence(way, window) for way in countings(objective, pool)]
        good = _sum(way.upper_bound if lower_bound else way.good for way in ways)
        total = _sum(way.total for way in ways)
    return {
        recorded.burn_rate(window, lower_bound): f"(1 - {good} / ({total} > 0)) / {objective.budget_ratio!r}",
        recorded.bad_requests(window, lower_bound): f"{window:g} * ({total} - {good})",
    }


def window_recordings(objectives: Sequence[Objective], longest: bool) -> list[Recording]:
    """Return burn rate and bad requests of the windows of a day or more (`longest`) or of the others, each for all SLOs at once.

    A rule for many SLOs costs little more than one for one; Prometheus evaluates the rules of a hundred SLOs in half the time.
    """
    found: list[Recording] = []
    for lower_bound in (False, True):
        among = [one for one in objectives if one.has_bounds or not lower_bound]
        windows = sorted({window for one in among for window in _windows(one, lower_bound) if window > RATE})
        for window in (one for one in windows if (one >= DAY) is longest):
            using = [one for one in among if window in _windows(one, lower_bound)]
            which = "" if len(using) == len(objectives) else _any_of(using)
            found += _of_window(window, lower_bound, which)
            if any(window == tier.long for one in using for tier in _tiers(one, lower_bound)):
                found.append(_bad_requests(window, lower_bound, which))
    return found


def _tiers(objective: Objective, lower_bound: bool) -> list[burn_rate.BurnRateAlert]:
    """Return the tiers that read these bounds."""
    found = burn_rate.alerts(objective.window.seconds, objective.budget_ratio)
    return [tier for tier in found if not lower_bound or burn_rate.USES_LOWER_BOUND[tier.severity]]


def _windows(objective: Objective, lower_bound: bool) -> set[float]:
    return {window for tier in _tiers(objective, lower_bound) for window in (tier.long, tier.short)}


def _any_of(objectives: Iterable[Objective]) -> str:
    return str(Selector("", (("objective", tuple(one.id for one in objectives)),)))


def _of_window(window: float, lower_bound: bool, which: str) -> list[Recording]:
    """Return the burn rate over a window, after the requests that it reads of a long one.

    The recorded rate covers 5 minutes by itself, so the sum of a shorter window starts 5 minutes later: together they span the window.
    From a day on, every fifth minute is summed instead: a fifth of the samples, for the same requests.
    """
    good, total = f"{_good(lower_bound)}{which}", f"{recorded.TOTAL_RATE}{which}"
    found = []
    if window >= DAY:
        if not lower_bound:
            found.append(Recording(recorded.requests(window), _requests(total, window), {}))
        good, total = _requests(good, window), f"{recorded.requests(window)}{which}"
    else:
        good, total = (f"sum_over_time({one}[{duration_text(window - RATE)}])" for one in (good, total))
    ratio = f"(1 - {good} / ({total} > 0)) / {_budget(which)}"
    return [*found, Recording(recorded.burn_rate(window, lower_bound), ratio, {})]


def _bad_requests(window: float, lower_bound: bool, which: str) -> Recording:
    """Return the bad ratio of the requests: no further sum of good ones."""
    rates, counted = f"{recorded.TOTAL_RATE}{which}", f"{recorded.requests(window)}{which}"
    requests = counted if window >= DAY else _requests(rates, window)
    burning = f"{recorded.burn_rate(window, lower_bound)}{which}"
    return Recording(recorded.bad_requests(window, lower_bound), f"{burning} * {_budget(which)} * {requests}", {})


def _budget(which: str) -> str:
    return f"(1 - {recorded.TARGET}{which})"


def of(name: str, objective: Objective) -> str:
    """Select a recorded series by SLO ID alone, so that an edited label or a second SLO never mixes in."""
    return f'{name}{{objective="{objective.id}"}}'


def _sum(evidence: Iterable[str]) -> str:
    """Sum the replicas, each by the first kind of evidence that it has."""
    return f"sum({' or '.join(evidence)})"


class _Evidence(NamedTuple):
    """Rates per replica: good, good including indeterminate, and total."""

    good: str
    upper_bound: str
    total: str


def _evidence(way: Way, span: float = RATE) -> _Evidence:
    """Return the rates of a way to count over `span` seconds. A replica without the good series has none: its threshold isn't
    a bucket boundary.
    """
    total, without = _rate(way.total, span), _rate(way.without, span) if way.without else ""
    if isinstance(way, Counting):
        good, total = _less(_rate(way.good, span), without), _less(total, without)
        good = _less(good, _rate(way.bad, span) if way.bad else "")
        return _Evidence(good, good, f"({total} and {good})")
    lower = _less(_bucket_rate(way, "max", f'le=~"{at_most(way.limit)}"', span), without)
    total = _less(total, without)
    if not way.bracket:
        return _Evidence(lower, lower, f"({total} and {lower})")
    upper = _less(_bucket_rate(way, "min", f'le!~"{below(way.limit)}"', span), without)
    finite = _bucket_rate(way, "max", 'le!="+Inf"', span)
    total = f"({total} and {finite})"
    return _Evidence(f"({lower} or 0 * {total})", f"({upper} and {total})", total)


def _less(rate: str, without: str) -> str:
    return f"({rate} - ({without} or 0 * {rate}))" if without else rate


def _bucket_rate(way: Near, which: str, bounds: str, span: float) -> str:
    """Return requests/s per replica within a bound. Buckets are cumulative: `max` selects the highest bound, `min` the lowest.

    So it works for each replica, whatever bounds it has.
    """
    selector = f"{str(way.buckets).removesuffix('}')},{bounds}}}"
    rates = f"sum by ({REPLICA}, le) (rate({selector}[{duration_text(span)}]))"
    return f"{which} by ({REPLICA}) ({rates})"


def _rate(selectors: Iterable[Selector], span: float) -> str:
    """Return requests/s per replica. `or` joins counters of which some may be absent: their labels differ, so none hides another.

    Grouping by instance is needed because every node may call its replica 127.0.0.1:8000.
    """
    return f"sum by ({REPLICA}) ({' or '.join(f'rate({one}[{duration_text(span)}])' for one in selectors)})"


def _good(lower_bound: bool) -> str:
    return recorded.GOOD_UPPER_BOUND if lower_bound else recorded.GOOD_RATE


def _requests(rates: str, window: float) -> str:
    """Return a number of requests: rates summed on a fixed grid, so that it doesn't depend on how often rules run."""
    step = STEP if window <= HOUR else RATE
    return f"{step:g} * sum_over_time({rates}[{duration_text(window)}:{duration_text(step)}])"

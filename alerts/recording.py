"""Recorded series of an SLO: good and total requests over 5 minutes, and burn rate and bad requests of each window.

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
STEP = 60.0  # seconds between the points at which bad requests are summed


def recordings(objective: Objective, pool: Pool) -> list[Recording]:
    """Return an SLO's recorded series, each after those that it reads. Pages of an SLO with bounds read the lower bounds."""
    labels = {"objective": objective.id, "pool": objective.pool}
    tiers = burn_rate.alerts(objective.window.seconds, objective.budget_ratio)
    ways = [_evidence(way) for way in countings(objective, pool)]
    expressions = {
        recorded.GOOD_RATE: _sum(way.good for way in ways),
        recorded.TOTAL_RATE: _sum(way.total for way in ways),
        recorded.TARGET: f"vector({float(objective.target)!r})",
        **_burning(objective, pool, tiers, lower_bound=False),
    }
    if objective.has_bounds:
        expressions[recorded.GOOD_UPPER_BOUND] = _sum(way.upper_bound for way in ways)
        expressions |= _burning(
            objective, pool, [tier for tier in tiers if burn_rate.USES_LOWER_BOUND[tier.severity]], lower_bound=True
        )
    return [Recording(name, expr, labels) for name, expr in expressions.items()]


def _burning(
    objective: Objective, pool: Pool, tiers: Sequence[burn_rate.BurnRateAlert], lower_bound: bool
) -> dict[str, str]:
    windows = sorted({window for tier in tiers for window in (tier.long, tier.short)})
    found = {
        recorded.bad_requests(tier.long, lower_bound): _bad_requests(objective, tier.long, lower_bound)
        for tier in tiers
    }
    found |= {recorded.burn_rate(window, lower_bound): _burn_rate(objective, window, lower_bound) for window in windows}
    for window in (one for one in windows if one < RATE):  # the recorded rates are too long for it
        ways = [_evidence(way, window) for way in countings(objective, pool)]
        good, total = (
            _sum(way.upper_bound if lower_bound else way.good for way in ways),
            _sum(way.total for way in ways),
        )
        found[recorded.bad_requests(window, lower_bound)] = f"{window:g} * ({total} - {good})"
        found[recorded.burn_rate(window, lower_bound)] = f"(1 - {good} / ({total} > 0)) / {objective.budget_ratio!r}"
    return found


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


def _burn_rate(objective: Objective, window: float, lower_bound: bool) -> str:
    """Return bad / total / budget; absent without requests.

    The recorded rate covers 5 minutes by itself, so the sum starts 5 minutes later: together they span the window. From a
    day on, every fifth minute is summed instead: a fifth of the samples, for the same requests.
    """
    if window >= DAY:
        bad = of(recorded.bad_requests(window, lower_bound), objective)
        return f"{bad} / ({_requests(recorded.TOTAL_RATE, objective, window)} > 0) / {objective.budget_ratio!r}"
    good, total = of(_good(lower_bound), objective), of(recorded.TOTAL_RATE, objective)
    if window > RATE:
        good, total = (f"sum_over_time({one}[{duration_text(window - RATE)}])" for one in (good, total))
    return f"(1 - {good} / ({total} > 0)) / {objective.budget_ratio!r}"


def _bad_requests(objective: Objective, window: float, lower_bound: bool) -> str:
    total, good = (_requests(name, objective, window) for name in (recorded.TOTAL_RATE, _good(lower_bound)))
    return f"{total} - {good}"


def _good(lower_bound: bool) -> str:
    return recorded.GOOD_UPPER_BOUND if lower_bound else recorded.GOOD_RATE


def _requests(name: str, objective: Objective, window: float) -> str:
    """Return a number of requests: rates summed on a fixed grid, so that it doesn't depend on how often rules run."""
    step = STEP if window <= 6 * HOUR else RATE
    return f"{step:g} * sum_over_time({of(name, objective)}[{duration_text(window)}:{duration_text(step)}])"

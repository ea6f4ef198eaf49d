"""Recorded series of an objective: good and total over 5 minutes, and what every window makes of them.

Good and total stay apart, so each longer window is a ratio of sums over requests, never a mean of ratios, and an idle
hour weighs nothing. What the rules cannot see: `rate` misses the first value of a counter that is born above zero, and
extrapolates over gaps. The ledger has neither fault; it keeps the budget, these series only wake people.
"""

from collections.abc import Iterable

from alerts.rules import Recording
from slo import burn, series
from slo.indicators import Counting, Selector, countings
from slo.quantities import duration_text
from slo.spec import Objective, Pool

RATE = 300.0  # seconds that GOOD_RATE and TOTAL_RATE look back; at least four scrapes must fit in it
STEP = 60.0  # seconds between the points at which bad requests are added up


def recordings(objective: Objective, pool: Pool) -> list[Recording]:
    """List an objective's recorded series, each after those that it reads."""
    labels = {"objective": objective.id, "pool": objective.pool}
    tiers = burn.tiers(objective.window.seconds, objective.budget_ratio)
    windows = sorted({window for tier in tiers for window in (tier.long, tier.short)})
    ways = countings(objective, pool)
    expressions = {
        series.GOOD_RATE: _best(good for good, _ in map(_evidence, ways)),
        series.TOTAL_RATE: _best(total for _, total in map(_evidence, ways)),
        series.TARGET: f"vector({float(objective.target)!r})",
        **{series.bad_requests(tier.long): _bad_requests(objective, tier.long) for tier in tiers},
        **{series.burn_rate(window): _burn_rate(objective, window) for window in windows},
    }
    return [Recording(name, expr, labels) for name, expr in expressions.items()]


def of(name: str, objective: Objective) -> str:
    """Select a recorded series by objective id alone, so that an edited label or a second objective never mixes in."""
    return f'{name}{{objective="{objective.id}"}}'


def _best(evidence: Iterable[str]) -> str:
    """Add up the replicas, each by the first kind of evidence that it has."""
    return f"sum({' or '.join(evidence)})"


def _evidence(counting: Counting) -> tuple[str, str]:
    """Write good and total per replica. A replica without the good series offers neither: its limit is no bucket bound."""
    good, total = _rate(counting.good), _rate(counting.total)
    if counting.without:
        without = _rate(counting.without)
        good, total = (f"({rate} - ({without} or 0 * {rate}))" for rate in (good, total))
    return good, f"({total} and {good})"


def _rate(selectors: Iterable[Selector]) -> str:
    """Events a second per replica. `or` joins counters of which some may be absent: their labels differ, so none hides another.

    The instance is kept because every node may call its replica 127.0.0.1:8000.
    """
    return f"sum by (instance, replica) ({' or '.join(f'rate({one}[{duration_text(RATE)}])' for one in selectors)})"


def _burn_rate(objective: Objective, window: float) -> str:
    """Bad over total over budget; without requests there is no answer.

    The recorded rate looks back 5 minutes by itself, so the sum begins 5 minutes later: together they span the window. From a
    day on, the requests of every fifth minute are added up instead: a fifth of the samples and less, for the same requests.
    """
    if window >= burn.DAY:
        bad = of(series.bad_requests(window), objective)
        return f"{bad} / ({_requests(series.TOTAL_RATE, objective, window)} > 0) / {objective.budget_ratio!r}"
    good, total = of(series.GOOD_RATE, objective), of(series.TOTAL_RATE, objective)
    if window > RATE:
        good, total = (f"sum_over_time({one}[{duration_text(window - RATE)}])" for one in (good, total))
    return f"(1 - {good} / ({total} > 0)) / {objective.budget_ratio!r}"


def _bad_requests(objective: Objective, window: float) -> str:
    total, good = (_requests(name, objective, window) for name in (series.TOTAL_RATE, series.GOOD_RATE))
    return f"{total} - {good}"


def _requests(name: str, objective: Objective, window: float) -> str:
    """Count of requests: rates added up on a fixed grid, so that the number does not depend on how often rules run."""
    step = STEP if window <= 6 * burn.HOUR else RATE
    return f"{step:g} * sum_over_time({of(name, objective)}[{duration_text(window)}:{duration_text(step)}])"

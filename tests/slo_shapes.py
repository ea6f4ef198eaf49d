"""Rules in the shape that Sloth emits, for the same objectives: what ours are compared with.

Written from its source (0e395d8, examples/_gen/getting-started.yml and the google-28d windows): each window is a rate of the raw series, errors over total; no gate, and factors that are not capped.
"""

from collections.abc import Iterable
from typing import Any

from slo.indicators import Selector, countings
from slo.quantities import duration_text
from slo.spec import Objective, Spec

HOUR = 3600
DAY = 24 * HOUR
# Sloth: (severity, short, long, share of the budget); the factor is share x window / long.
SLOTH = (
    ("page", ((300, HOUR, 0.02), (1800, 6 * HOUR, 0.05))),
    ("ticket", ((2 * HOUR, DAY, 0.1), (6 * HOUR, 3 * DAY, 0.1))),
)


def sloth(spec: Spec) -> dict[str, Any]:
    """A rule file of Sloth's shape: seven ratios from raw series, eight series made of them, a page and a ticket per objective."""
    groups = []
    for objective in spec.objectives:
        me = {"sloth_id": objective.id}
        windows = sorted({window for _, pairs in SLOTH for pair in pairs for window in pair[:2]})
        ratios = [_record(_sloth(window), _ratio(spec, objective, window), me) for window in windows]
        alerts = [
            {
                "alert": "SlothBurn",
                "expr": " or ".join(_sloth_pair(objective, *pair) for pair in pairs),
                "labels": {**me, "severity": severity, "pool": objective.pool},
            }
            for severity, pairs in SLOTH
        ]
        groups.append({"name": f"sloth-{objective.id}", "rules": [*ratios, *_sloth_meta(objective, me), *alerts]})
    return {"groups": groups}


def _record(name: str, expr: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"record": name, "expr": expr, "labels": labels}


def _sloth(window: float) -> str:
    return f"slo:sli_error:ratio_rate{duration_text(window)}"


def _ratio(spec: Spec, objective: Objective, window: float) -> str:
    """Errors over total of the raw series, by the last (histogram or counter) kind of evidence."""
    counting = countings(objective, spec.pool(objective.pool))[-1]
    good, total = (_rates(selectors, window) for selectors in (counting.good, counting.total))
    return f"({total} - {good}) / {total}"


def _rates(selectors: Iterable[Selector], window: float) -> str:
    return f"sum({' or '.join(f'rate({one}[{duration_text(window)}])' for one in selectors)})"


def _sloth_pair(objective: Objective, short: float, long: float, share: float) -> str:
    factor = share * objective.window.seconds / long
    sides = (
        f'max({_sloth(window)}{{sloth_id="{objective.id}"}} > ({factor:.6g} * {objective.budget_ratio!r}))'
        for window in (short, long)
    )
    return f"({' and '.join(sides)})"


def _sloth_meta(objective: Objective, me: dict[str, str]) -> list[dict[str, Any]]:
    mine = f'{{sloth_id="{objective.id}"}}'
    span = duration_text(objective.window.seconds)
    five = f"{_sloth(300)}{mine}"
    budget = f"on (sloth_id) slo:error_budget:ratio{mine}"
    expressions = {
        f"slo:sli_error:ratio_rate{span}": f"sum_over_time({five}[{span}]) / count_over_time({five}[{span}])",
        "slo:objective:ratio": f"vector({float(objective.target)!r})",
        "slo:error_budget:ratio": f"vector(1-{float(objective.target)!r})",
        "slo:time_period:days": f"vector({objective.window.seconds / DAY:g})",
        "slo:current_burn_rate:ratio": f"{five} / {budget}",
        "slo:period_burn_rate:ratio": f"slo:sli_error:ratio_rate{span}{mine} / {budget}",
        "slo:period_error_budget_remaining:ratio": f"1 - slo:period_burn_rate:ratio{mine}",
        "sloth_slo_info": "vector(1)",
    }
    return [_record(name, expr, me) for name, expr in expressions.items()]

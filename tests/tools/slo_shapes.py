"""Rules as Sloth and Pyrra generate them for the same SLOs, to compare ours with.

Written from their source: Sloth 0e395d8 (examples/_gen/getting-started.yml and the google-28d windows), Pyrra 1ba95af
(slo/rules.go, its windows for 28 days). In both, each window is a rate of the raw series, errors over total; neither has a
low-traffic gate, and thresholds aren't capped. Both use the same evidence as ours, histogram or counter.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from plimsoll.slo.sli.evidence import Counting, countings
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Objective, Spec
from plimsoll.slo.units import duration_text
from time_compression import seconds

HOUR = 3600
DAY = 24 * HOUR
# Sloth: (severity, short, long, share of the budget); the factor is share x window / long.
SLOTH = (
    ("page", ((300, HOUR, 0.02), (1800, 6 * HOUR, 0.05))),
    ("ticket", ((2 * HOUR, DAY, 0.1), (6 * HOUR, 3 * DAY, 0.1))),
)
# Pyrra at 28 days: (severity, factor, hold, short, long); its critical is a page, its warning a ticket.
PYRRA = (
    ("page", 14, 120, 300, HOUR),
    ("page", 7, 900, 1800, 6 * HOUR),
    ("ticket", 2, HOUR, 2 * HOUR, DAY),
    ("ticket", 1, 3 * HOUR, 6 * HOUR, 4 * DAY),
)


def sloth(spec: Spec) -> dict[str, Any]:
    """Return a rule file as Sloth generates it: per SLO seven ratios, eight metadata series, a page, and a ticket."""
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


def pages(document: dict[str, Any]) -> Iterator[tuple[str, str, float]]:
    """Yield each page of a rule file as (pool, query, `for` in seconds), with recorded names replaced by their queries."""
    for group in document["groups"]:
        recorded = {rule["record"]: rule["expr"] for rule in group["rules"] if "record" in rule}
        for rule in group["rules"]:
            if "alert" in rule and rule["labels"]["severity"] == "page":
                yield rule["labels"]["pool"], _written_out(rule["expr"], recorded), seconds(rule.get("for", "0s"))


def _written_out(expr: str, recorded: Mapping[str, str]) -> str:
    named = re.compile(rf"({'|'.join(map(re.escape, recorded))})\{{[^}}]*\}}")
    return named.sub(lambda match: f"({recorded[match[1]]})", expr)


def _record(name: str, expr: str, labels: dict[str, str]) -> dict[str, Any]:
    return {"record": name, "expr": expr, "labels": labels}


def _sloth(window: float) -> str:
    return f"slo:sli_error:ratio_rate{duration_text(window)}"


def _ratio(spec: Spec, objective: Objective, window: float) -> str:
    """Return errors over total of the raw series, by the last (histogram or counter) kind of evidence."""
    counting = countings(objective, spec.pool(objective.pool))[-1]
    assert isinstance(counting, Counting)
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


def pyrra(spec: Spec) -> dict[str, Any]:
    """Return a rule file as Pyrra generates it: per SLO seven ratios, four alerts, and a page where the total is absent."""
    groups = []
    for objective in spec.objectives:
        me = {"slo": objective.id}
        windows = sorted({window for row in PYRRA for window in row[3:]})
        ratios = [_record(_pyrra(window), _ratio(spec, objective, window), me) for window in windows]
        rules = [*ratios, *(_pyrra_alert(objective, *row) for row in PYRRA), _pyrra_absent(spec, objective)]
        groups.append({"name": f"pyrra-{objective.id}", "interval": "30s", "rules": rules})
    return {"groups": groups}


def _pyrra(window: float) -> str:
    return f"slo:burnrate{duration_text(window)}"


def _pyrra_alert(
    objective: Objective, severity: str, factor: float, hold: float, short: float, long: float
) -> dict[str, Any]:
    sides = (
        f'{_pyrra(window)}{{slo="{objective.id}"}} > ({factor} * (1-{float(objective.target)!r}))'
        for window in (short, long)
    )
    labels = {
        "slo": objective.id,
        "short": duration_text(short),
        "long": duration_text(long),
        "severity": severity,
        "pool": objective.pool,
    }
    return {"alert": "PyrraBurn", "expr": " and ".join(sides), "for": duration_text(hold), "labels": labels}


def _pyrra_absent(spec: Spec, objective: Objective) -> dict[str, Any]:
    """Return the time after which the fast tier would have fired, in whole minutes: factor x (1 - target) x long + hold."""
    total = countings(objective, spec.pool(objective.pool))[-1].total[0]
    hold = 60 * round((14 * objective.budget_ratio * HOUR + 120) / 60)
    labels = {"slo": objective.id, "severity": "page", "pool": objective.pool}
    return {"alert": "PyrraBurn", "expr": f"absent({total}) == 1", "for": duration_text(hold), "labels": labels}

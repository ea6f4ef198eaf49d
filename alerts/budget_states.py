"""Tickets on what is left of an error budget, by the ledger: nearly consumed, exhausted, and projected to be exhausted.

They name the SLO's error budget policy (`policy` in the objectives file). The burn-rate alerts page for a budget that burns now;
these open one ticket each for the owner, and end once the budget has recovered.
"""

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import DURATION, text_for
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Spec

LOW, EXHAUSTED, FORECAST = "SLOErrorBudgetLow", "SLOErrorBudgetExhausted", "SLOErrorBudgetExhaustionForecast"
LEFT = 0.25  # ratio of the budget: three quarters are consumed
# A budget at a bound crosses it many times a day: a state lasts until the budget was above the bound for so long.
RECOVERED = {LOW: "1d", EXHAUSTED: "1h"}
OBJECTIVE = "{{ $labels.objective }}"
EACH = "objective, pool"


def budget_alerts(spec: Spec) -> list[Alert]:
    """Return the tickets of all SLOs: one rule each, labels objective and pool."""
    policies = {one.id: f" Policy: {one.policy}" for one in spec.objectives if one.policy}
    unset = " No error budget policy is set: add `policy` to the SLO."
    policy = text_for("$labels.objective", policies, unset) if policies else unset
    remaining = f"min by ({EACH}) (min_over_time({c.BUDGET_REMAINING}[%s]))"
    now = f'min by ({EACH}) ({c.BUDGET_REMAINING}{{objective="{OBJECTIVE}"}})'
    left = f"Error budget remaining: {_shown(now)}."
    return [
        _ticket(
            LOW,
            f"{remaining % RECOVERED[LOW]} <= {LEFT}",
            f"{OBJECTIVE} has consumed three quarters of its error budget.",
            f"{left} Plan work on what consumed it (see the causes on the SLO's page).{policy}",
        ),
        _ticket(
            EXHAUSTED,
            f"{remaining % RECOVERED[EXHAUSTED]} <= 0",
            f"{OBJECTIVE} has exhausted its error budget.",
            f"{left} The SLO is missed unless the rest of its window is better than its target.{policy}",
        ),
        _forecast(policy),
    ]


def _forecast(policy: str) -> Alert:
    """Projected with an interval: a ticket where even the upper bound ends before the window does."""
    times = f'min by ({EACH}) ({c.EXHAUSTION}{{bound="%s"}})'
    earliest = f'min({c.EXHAUSTION}{{bound="earliest",objective="{OBJECTIVE}"}})'
    return _ticket(
        FORECAST,
        f"{times % 'latest'} > 0",
        f"{OBJECTIVE} will exhaust its error budget before its window ends.",
        f"At the last day's rate, the budget is exhausted in {_shown(earliest, 'humanizeDuration')} to {DURATION} (90% interval)."
        f"{policy}",
        hold=3600,
    )


def _ticket(name: str, expr: str, summary: str, description: str, hold: float = 0) -> Alert:
    return Alert(
        name=name,
        severity="ticket",
        expr=expr,
        summary=summary,
        description=description,
        panel=links.BUDGET,
        path=links.slo_page(OBJECTIVE, ""),
        hold=hold,
        variables={"objective": OBJECTIVE},
    )


def _shown(query: str, how: str = "humanizePercentage") -> str:
    """Return a template that shows a query's result, with the alert's SLO filled in."""
    inner = query.replace(OBJECTIVE, "%s").replace('"', '\\"')
    found = f'query (printf "{inner}" $labels.objective)'
    return f"{{{{ with {found} }}}}{{{{ . | first | value | {how} }}}}{{{{ else }}}}unknown{{{{ end }}}}"

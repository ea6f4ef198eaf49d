"""Cases of the tickets on what is left of an error budget (`health_cases.Case`)."""

from typing import Any

from health_cases import END, POOL, SERVICE, Case, Given, flat, given
from plimsoll.slo import links
from plimsoll.slo import metrics as c

_SLO = {"objective": "chat-ttft", "pool": POOL}
_POLICY = " No error budget policy is set: add `policy` to the SLO."


def _remaining(values: str) -> list[Given]:
    return [given(c.BUDGET_REMAINING, values, **SERVICE, **_SLO)]


def _exhausts(latest: str) -> list[Given]:
    """Earliest in half a day; the latest moment may be after the window's end, which is no sample."""
    times = {"earliest": flat(43200), "estimate": flat(86400), "latest": latest}
    return [given(c.EXHAUSTION, values, **SERVICE, **_SLO, bound=bound) for bound, values in times.items()]


def _case(alert: str, over: list[Given], under: list[Given], **rest: Any) -> Case:
    own = {"severity": "ticket", **_SLO}
    return Case(
        alert,
        "ticket",
        over,
        under,
        own,
        panel=links.BUDGET,
        url={"objective": "chat-ttft"},
        path=links.slo_page("chat-ttft", ""),
        **rest,
    )


BUDGETS = [
    _case(
        "SLOErrorBudgetLow",
        # crossed once, and above the bound again: one ticket
        over=_remaining(f"0.5x200 0.25x10 0.26x{END - 212}"),
        under=_remaining(flat(0.26)),
        summary="chat-ttft has consumed three quarters of its error budget.",
        description=f"Error budget remaining: 26%. Plan work on what consumed it (see the causes on the SLO's page).{_POLICY}",
    ),
    _case(
        "SLOErrorBudgetExhausted",
        over=_remaining(flat(0)),
        # recovered more than an hour ago
        under=_remaining(f"-0.1x{END - 241} 0.01x240"),
        summary="chat-ttft has exhausted its error budget.",
        description=f"Error budget remaining: 0%. The SLO is missed unless the rest of its window is better than its target.{_POLICY}",
    ),
    _case(
        "SLOErrorBudgetExhaustionForecast",
        over=_exhausts(flat(172800)),
        under=_exhausts(f"172800x{END - 30} _x30"),
        summary="chat-ttft will exhaust its error budget before its window ends.",
        description=f"At the last day's rate, the budget is exhausted in 12h 0m 0s to 2d 0h 0m 0s (90% interval).{_POLICY}",
    ),
]

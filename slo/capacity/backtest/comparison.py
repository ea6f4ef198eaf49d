"""Compares two policies on the same traffic and states the reason with their figures.

A policy dominates another if it isn't worse in goodput or node-hours, and is better in one of them. Where ours does not, there
are two kinds of reasons: the other policy is cheaper because it leaves requests waiting, or it knows future arrivals.
Both are computed from reports of `plimsoll.slo.capacity.backtest.run`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Result = Literal["same", "dominates", "dominated", "costlier", "cheaper"]
NEAR_HOURS = 1.15  # of the clairvoyant's node-hours: what issue 7 asks for
NEAR_GOODPUT = 0.99  # of its goodput
Report = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PolicyComparison:
    """`costlier`: better goodput for more node-hours; `cheaper`: the opposite. `why` is empty for `same` and `dominates`."""

    word: Result
    why: str = ""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the clairvoyant's advantage consists of: goodput of the most nodes ordered at the first evaluation (`rush`), of its own
    schedule ordered when needed instead of ahead (`late`), and node-hours of the smallest constant fleet that is as good (`constant`,
    None if none is)."""

    rush: float
    late: float
    constant: float | None


def against(ours: Report, other: Report, frugal: Sequence[Report], key: str, target: float) -> PolicyComparison:
    """Compare ours with another policy at the limits `key`; `target` is the target of ours, 0 to 1; `frugal` has ours at lower targets."""
    word = _word(ours, other, key)
    if word in ("same", "dominates"):
        return PolicyComparison(word)
    points = 100 * (ours["goodput"][key] - other["goodput"][key])
    why = [
        f"{points:+.1f} points of goodput for {ours['node_hours'] / other['node_hours'] - 1:+.0%} node-hours",
        f"under {other['policy']} requests waited at {_share(other)} of the scrapes, under ours at {_share(ours)}",
    ]
    why += [f"ours meets the target of {target:.0%}"] if ours["goodput"][key] >= target else []
    better = [found for found in frugal if _word(found, other, key) == "dominates"]
    if better:
        best = max(better, key=lambda found: (found["goodput"][key], -found["node_hours"]))
        good, hours = best["goodput"][key], best["node_hours"]
        why.append(f"at a target of {best['planned_target']:.0%}, ours dominates: {good:.4f} at {hours:.2f} node-hours")
    elif word == "costlier":
        never = f"it never left its {other['most_nodes']} nodes, and nothing costs less"
        why.append(never if not other["scale_events"] else "no lower target of ours dominates it")
    return PolicyComparison(word, "; ".join(why))


def near(ours: Report, best: Report, bounds: Bounds, key: str) -> PolicyComparison:
    """Compare ours with the clairvoyant: `same` within 15 % of its node-hours at 99 % of its goodput, else the reason."""
    enough = NEAR_GOODPUT * best["goodput"][key]
    if ours["goodput"][key] >= enough and ours["node_hours"] <= NEAR_HOURS * best["node_hours"]:
        return PolicyComparison("same")
    word = _word(ours, best, key)
    start = f"{ours['goodput'][key] - best['goodput'][key]:+.4f} goodput, {ours['node_hours'] / best['node_hours'] - 1:+.0%} node-hours"
    if bounds.rush < enough:
        return PolicyComparison(
            word,
            f"{start}; no policy without foresight reaches it: the most nodes, ordered at the first evaluation, reach {bounds.rush:.4f}",
        )
    constant = (
        "no constant fleet within the limits is as good"
        if bounds.constant is None
        else f"the smallest constant fleet that is as good takes {bounds.constant:.2f} node-hours ({bounds.constant / best['node_hours'] - 1:+.0%})"
    )
    return PolicyComparison(
        word,
        f"{start}; its own schedule, ordered when needed and not a cold start ahead, reaches {bounds.late:.4f}; {constant}",
    )


def _word(ours: Report, other: Report, key: str) -> Result:
    goodput, hours = ours["goodput"][key] - other["goodput"][key], ours["node_hours"] - other["node_hours"]
    if goodput == hours == 0:
        return "same"
    if goodput >= 0 >= hours:
        return "dominates"
    if goodput <= 0 <= hours:
        return "dominated"
    return "costlier" if goodput > 0 else "cheaper"


def _share(report: Report) -> str:
    """Ratio of the time with a queue, until the last request was done."""
    return f"{min(1.0, report['seconds_queued'] / report['seconds']):.0%}"

"""SLOs combined over a pool, a team, or all. Pure functions: ratios of sums, with each SLO scaled to its weight."""

from collections.abc import Callable, Sequence
from math import fsum
from typing import Literal

from plimsoll.slo.reports.periods.models import Combined, PoolPeriod
from plimsoll.slo.reports.review_models import SloReview, Week
from plimsoll.slo.spec.objectives import Objective, Spec

Group = tuple[Literal["all", "team", "pool"], str, frozenset[str]]


def combined(spec: Spec, slos: Sequence[SloReview], pools: Sequence[PoolPeriod]) -> list[Combined]:
    """Combine SLOs: all, by team where pools have an owner, and by pool."""
    return [_group(spec, group, slos, pools) for group in _groups(spec)]


def _groups(spec: Spec) -> list[Group]:
    teams: dict[str, set[str]] = {}
    for pool in spec.pools:
        if pool.owner:
            teams.setdefault(pool.owner, set()).add(pool.name)
    return [
        ("all", "", frozenset(pool.name for pool in spec.pools)),
        *(("team", team, frozenset(names)) for team, names in sorted(teams.items())),
        *(("pool", pool.name, frozenset([pool.name])) for pool in spec.pools),
    ]


def _group(spec: Spec, group: Group, slos: Sequence[SloReview], pools: Sequence[PoolPeriod]) -> Combined:
    kind, name, members = group
    objectives = {one.id: one for one in spec.objectives if one.pool in members}
    mine = [one for one in slos if one.id in objectives]
    seen = [one for one in mine if one.total]
    weighted = any(one.weight is not None for one in objectives.values())
    sums = Weighted(objectives, seen, weighted, lambda one: one)
    before = Weighted(objectives, [one for one in mine if one.previous.total], weighted, lambda one: one.previous)
    target = sums.ratio(lambda one, week: one.target * week.total)
    good, most = sums.ratio(lambda _, week: week.good), sums.ratio(lambda _, week: week.good + week.indeterminate)
    costs = [one.usage.cost_usd for one in pools if one.name in members]
    return Combined(
        kind=kind,
        name=name,
        slos=[one.id for one in seen],
        without_data=[one.id for one in mine if not one.total],
        weighting="weights" if weighted else "requests",
        weights=sums.weights(),
        total=sum(one.total for one in seen),
        bad=sum(one.bad for one in seen),
        good_ratio=good,
        good_ratio_upper_bound=most,
        target=target,
        met=_met(good, most, target) if len(seen) == len(mine) else None,
        budget_consumed=sums.consumed(indeterminate_good=False),
        budget_consumed_lower_bound=sums.consumed(indeterminate_good=True),
        previous_good_ratio=before.ratio(lambda _, week: week.good),
        previous_budget_consumed=before.consumed(indeterminate_good=False),
        cost_usd=fsum(usd for usd in costs if usd is not None) if costs and None not in costs else None,
    )


def _met(good: float | None, most: float | None, target: float | None) -> bool | None:
    if good is None or most is None or target is None:
        return None
    # Sums of scaled floats: a ratio that equals the target must not miss it by the last digit.
    lower, upper = (round(one - target, 12) >= 0 for one in (good, most))
    return lower if lower == upper else None


class Weighted:
    """Sums over SLOs with requests. By requests each counts as it is; by weights as if it had as many requests as its weight."""

    def __init__(
        self,
        objectives: dict[str, Objective],
        slos: Sequence[SloReview],
        weighted: bool,
        week: Callable[[SloReview], Week],
    ) -> None:
        self._pairs = [(objectives[one.id], week(one)) for one in slos]
        self._scales = [(one.weight or 1.0) / of.total if weighted else 1.0 for one, of in self._pairs]

    def _sum(self, value: Callable[[Objective, Week], float]) -> float:
        return fsum(scale * value(*pair) for scale, pair in zip(self._scales, self._pairs, strict=True))

    def ratio(self, value: Callable[[Objective, Week], float]) -> float | None:
        """Return the sum of a value of each SLO over the sum of requests; None without requests."""
        return self._sum(value) / self._sum(lambda _, week: week.total) if self._pairs else None

    def consumed(self, indeterminate_good: bool) -> float | None:
        """Return bad requests over those that the targets allow; None without requests."""
        if not self._pairs:
            return None
        bad = self._sum(lambda _, week: week.bad - indeterminate_good * week.indeterminate)
        return bad / self._sum(lambda one, week: one.budget_ratio * week.total)

    def weights(self) -> dict[str, float]:
        """Return each SLO's share of the requests, scaled."""
        total = self._sum(lambda _, week: week.total)
        return {
            one.id: scale * week.total / total for scale, (one, week) in zip(self._scales, self._pairs, strict=True)
        }

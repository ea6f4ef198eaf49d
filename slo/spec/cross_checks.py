"""What the objectives file's sections need of each other: unique names, references that name something, regions that are known."""

from collections import Counter
from typing import TYPE_CHECKING

from plimsoll.slo.spec import pool_match
from plimsoll.slo.spec.holidays import parsed
from plimsoll.slo.units import printable

if TYPE_CHECKING:
    from plimsoll.slo.spec.objectives import Spec


def check(spec: "Spec") -> None:
    """Raise ValueError, with path and fix, for the first thing that is wrong."""
    _check_names(spec)
    _check_holidays(spec)


def _check_names(spec: "Spec") -> None:
    """Reject names that are used twice or that name nothing, and replicas that would be of two pools."""
    groups = {
        "pools: name": [pool.name for pool in spec.pools],
        "objectives: id": [objective.id for objective in spec.objectives],
        "teams: name": [team.name for team in spec.teams],
        "teams: tenant": [tenant for team in spec.teams for tenant in team.tenants],
    }
    for path, names in groups.items():
        for name, uses in Counter(names).items():
            if uses > 1:
                raise ValueError(f"{path} {name!r} is used {uses} times. Make each unique.")
    if shared := pool_match.overlap(spec.pools) or pool_match.adapter_overlap(spec.pools):
        raise ValueError(printable(shared))
    pools, objectives = {pool.name for pool in spec.pools}, {objective.id for objective in spec.objectives}
    for index, item in enumerate(spec.exclusions):
        _require(f"exclusions[{index}].objective", "objective", item.objective, objectives)
        _require(f"exclusions[{index}].pool", "pool", item.pool, pools)
    for index, event in enumerate(spec.events):
        _require(f"events[{index}].pool", "pool", event.pool, pools)
    for index, objective in enumerate(spec.objectives):
        where = f"objectives[{index}]"
        _require(f"{where}.pool", "pool", objective.pool, pools)
        if objective.group_by and not objective.indicator.at_gateways:
            raise ValueError(
                f"{where}.group_by: gateways don't evaluate {objective.indicator.kind} per tenant. Leave it out, or set it on "
                "a latency or availability SLO."
            )
        if spec.pool(objective.pool).kind == "embedding" and objective.indicator.of_tokens:
            raise ValueError(
                f"{where}.indicator: {objective.indicator.kind} needs generated tokens, and pool {objective.pool} is of kind embedding. "
                "Use availability or request_duration."
            )
        if objective.count_at == "gateway" and not objective.indicator.at_gateways:
            raise ValueError(
                f"{where}.count_at: gateways don't evaluate {objective.indicator.kind}. Leave it out, or set it on a latency or "
                "availability SLO."
            )


def _check_holidays(spec: "Spec") -> None:
    """Reject a region that is written without its mapping and isn't known."""
    written = {"": spec.holidays, **{f"pools[{index}].": pool.holidays for index, pool in enumerate(spec.pools)}}
    for where, value in written.items():
        try:
            parsed(value)
        except ValueError as error:
            raise ValueError(f"{where}holidays: {error}") from error


def _require(where: str, what: str, name: str | None, known: set[str]) -> None:
    if name is not None and name not in known:
        raise ValueError(f"{where}: unknown {what} {name!r}. Use one of: {', '.join(sorted(known))}.")

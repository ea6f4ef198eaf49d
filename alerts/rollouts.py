"""Alerts on rollouts: a new engine version that is worse than the old one, and what an announced rollout lowers.

The SLO service exports the rollouts announced through its API. While the service is down, nothing is lowered.
"""

from plimsoll.alerts.exclusions import AFTER, at_each_site
from plimsoll.alerts.rules import Alert
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Pool

NAME = "LLMRolloutWorse"
ANNOUNCED = "LLMRolloutAnnounced"
# Tickets on what every rollout breaks for a while: restarts, cold caches, and fewer replicas. Whatever users feel isn't among them, nor
# a replica that keeps restarting or a version that is worse: these are why a rollout is stopped.
LOWERED = (
    "LLMReplicaDown",
    "LLMReplicaServingWhileCold",
    "LLMReplicaSlow",
    "LLMPrefixCacheHitRatioDropped",
    "LLMPoolNearCapacity",
    "LLMPoolOvercommitted",
    "LLMWarmSpareMissing",
)


def rollout_alerts(pool: Pool) -> list[Alert]:
    """Return a pool's alerts on its rollouts."""
    return [_worse(pool), _announced(pool)]


def unavailable(pool: Pool) -> str:
    """Return a query for the replicas that an announced rollout may take down at once, without labels; 0 without one."""
    return f"(max(max_over_time({_own(c.ROLLOUT_UNAVAILABLE, pool)}[{AFTER}])) or vector(0))"


def _own(metric: c.Metric, pool: Pool) -> str:
    return f'{metric}{{pool="{pool.name}"}}'


def _announced(pool: Pool) -> Alert:
    """Inhibits LOWERED of the pool (`routing.py`), for as long after its end as these average over."""
    return Alert(
        name=ANNOUNCED,
        severity="info",
        expr=at_each_site(f"max(max_over_time({_own(c.ROLLOUT_ANNOUNCED, pool)}[{AFTER}])) == 1", pool),
        summary="A rollout is announced; its usual tickets are muted.",
        description=(
            f"A rollout of {pool.name} is announced, or was in the last {AFTER}. Tickets on restarts, cold caches, and spare capacity are "
            f"muted; user harm pages. See /api/v1/pools/{pool.name}/rollout."
        ),
        panel=links.REPLICAS,
        path=f"/api/v1/pools/{pool.name}/rollout",
        pool=pool.name,
    )


def _worse(pool: Pool) -> Alert:
    """Return the ticket of a pool's rollout, one for each SLO that is worse."""
    each = "objective, baseline, candidate"
    verdict = f'{c.ROLLOUT_VERDICT}{{pool="{pool.name}",verdict="worse"}}'
    by_bound = f'{c.ROLLOUT_DIFFERENCE}{{bound=\\"%s\\",objective=\\"%s\\",candidate=\\"%s\\"}}'
    low, high = (
        f'{{{{ with printf "max({by_bound})" "{bound}" $labels.objective $labels.candidate | query }}}}'
        "{{ . | first | value | humanizePercentage }}{{ end }}"
        for bound in ("lower", "upper")
    )
    return Alert(
        name=NAME,
        severity="ticket",
        expr=f"max by ({each}) ({verdict}) == 1",
        summary="{{ $labels.candidate }} is worse than {{ $labels.baseline }} for {{ $labels.objective }}.",
        description=(
            f"{low} to {high} more of the requests of {{{{ $labels.candidate }}}} are bad than of {{{{ $labels.baseline }}}}, which "
            f"serves {pool.name} beside it. Roll back."
        ),
        panel=links.BUDGET,
        pool=pool.name,
    )

"""Muting during exclusions: an alert of severity info that inhibits every other alert of its pool (see `routing.py`).

The SLO service exports all exclusions: those of the objectives file and those created through the API. While the service
is down, nothing is muted.
"""

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import of
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Objective, Pool, Spec

NAME = "SLOExclusionActive"
# Most rules average over ten minutes, so the excluded time affects them, and they stay muted, for that long afterwards.
AFTER = "10m"


def exclusion_alerts(spec: Spec) -> list[Alert]:
    """Return the muting alert of each pool that has an SLO."""
    return [_excluded(pool) for pool in spec.pools if any(one.pool == pool.name for one in spec.objectives)]


def excluded(objective: Objective, span: str) -> str:
    """Return a query with a result, without labels, only where the SLO was excluded at some time of the span."""
    return f'max(max_over_time({c.EXCLUDED}{{objective="{objective.id}"}}[{span}])) == 1'


def at_each_site(query: str, pool: Pool) -> str:
    """Return a query's result, without labels, once as it is and once for each region and cluster that the pool's replicas have."""
    sites = f"group by (cluster, region) ({of(c.REPLICA_INFO, pool)})"
    return f"{query}\nor {sites} and on () ({query})"


def _excluded(pool: Pool) -> Alert:
    """A pool is excluded when all of its SLOs are: an exclusion of one SLO mutes the burn-rate alerts of that SLO alone.

    It fires once for each region and cluster of the pool's replicas that are target labels, and once without: it mutes what has its labels.
    """
    each = f'max by (objective) (max_over_time({c.EXCLUDED}{{pool="{pool.name}"}}[{AFTER}]))'
    return Alert(
        name=NAME,
        severity="info",
        expr=at_each_site(f"min({each}) == 1", pool),
        summary="An exclusion is active; alerts for this pool are muted.",
        description=(
            f"An exclusion covers every SLO of {pool.name}, or did in the last {AFTER}. Its pages and tickets are muted. "
            "See /api/v1/exclusions."
        ),
        panel=links.BUDGET,
        path="/api/v1/exclusions",
        pool=pool.name,
    )

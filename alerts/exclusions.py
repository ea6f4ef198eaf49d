"""Muting during exclusions: an alert of severity info that inhibits every other alert of its pool (see `routing.py`).

The SLO service exports all exclusions: those of the objectives file and those created through the API. While the service
is down, nothing is muted.
"""

from collections.abc import Sequence

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import of
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.exclusion import Exclusion
from plimsoll.slo.spec.objectives import Objective, Pool, Spec

NAME = "SLOExclusionActive"
# Most rules average over ten minutes, so the excluded time affects them, and they stay muted, for that long afterwards.
AFTER = "10m"


def exclusion_alerts(spec: Spec) -> list[Alert]:
    """Return the muting alert of each pool that has an SLO."""
    return [
        _excluded(pool, spec.exclusions) for pool in spec.pools if any(one.pool == pool.name for one in spec.objectives)
    ]


def excluded(objective: Objective, span: str, exclusions: Sequence[Exclusion] = ()) -> str:
    """Return a query with a result, without labels, only where the SLO was excluded at some time of the span.

    The service knows of a query's result once the slot is over; rules ask for themselves.
    """
    queries = [one.query for one in exclusions if one.query and one.covers(objective.id, objective.pool)]
    known = f'max(max_over_time({c.EXCLUDED}{{objective="{objective.id}"}}[{span}])) == 1'
    return " or ".join((known, *(_had_result(query, span) for query in queries)))


def _had_result(query: str, span: str) -> str:
    return f"max(max_over_time(abs({query})[{span}:30s])) > 0"


def at_each_site(query: str, pool: Pool) -> str:
    """Return a query's result, without labels, once as it is and once for each region and cluster that the pool's replicas have."""
    sites = f"group by (cluster, region) ({of(c.REPLICA_INFO, pool)})"
    return f"{query}\nor {sites} and on () ({query})"


def _excluded(pool: Pool, exclusions: Sequence[Exclusion]) -> Alert:
    """A pool is excluded when all of its SLOs are: an exclusion of one SLO mutes the burn-rate alerts of that SLO alone.

    It fires once for each region and cluster of the pool's replicas that are target labels, and once without: it mutes what has its labels.
    """
    queries = [one.query for one in exclusions if one.query and one.objective is None and one.pool in (None, pool.name)]
    each = f'max by (objective) (max_over_time({c.EXCLUDED}{{pool="{pool.name}"}}[{AFTER}]))'
    return Alert(
        name=NAME,
        severity="info",
        expr=at_each_site(" or ".join((f"min({each}) == 1", *(_had_result(one, AFTER) for one in queries))), pool),
        summary="An exclusion is active; alerts for this pool are muted.",
        description=(
            f"An exclusion covers every SLO of {pool.name}, or did in the last {AFTER}. Its pages and tickets are muted. "
            "See /api/v1/exclusions."
        ),
        panel=links.BUDGET,
        path="/api/v1/exclusions",
        pool=pool.name,
    )

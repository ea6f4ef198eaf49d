"""Muting during announced work: an alert that wakes nobody and hides every other one of its pool (`routing.py` says how).

The SLO service knows all exclusions, those of the objectives file and those made while it runs, and exports them. When it is
down nothing is muted: an unknown exclusion is none.
"""

from plimsoll.alerts.rules import Alert
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Objective, Pool, Spec

NAME = "SLOExclusionActive"
# Most rules average over ten minutes; so long after the work they still see it, and so long they stay muted.
AFTER = "10m"


def exclusion_alerts(spec: Spec) -> list[Alert]:
    """List the muting alert of each pool that has objectives."""
    return [_excluded(pool) for pool in spec.pools if any(one.pool == pool.name for one in spec.objectives)]


def excluded(objective: Objective, span: str) -> str:
    """Query that has an answer, without labels, where the objective was excluded at some time of the span."""
    return f'max(max_over_time({c.EXCLUDED}{{objective="{objective.id}"}}[{span}])) == 1'


def _excluded(pool: Pool) -> Alert:
    """A pool is excluded when all of its objectives are: work on one of them mutes that one's burn alerts alone."""
    each = f'max by (objective) (max_over_time({c.EXCLUDED}{{pool="{pool.name}"}}[{AFTER}]))'
    return Alert(
        name=NAME,
        severity="info",
        expr=f"min({each}) == 1",
        summary="excluded: its alerts are muted",
        description=(
            f"An exclusion covers every objective of {pool.name}, or did within {AFTER}: its pages and tickets are muted. "
            "Who and why: the exclusions in the SLO service."
        ),
        panel=links.BUDGET,
        path="/api/v1/exclusions",
        pool=pool.name,
    )

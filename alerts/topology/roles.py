"""Alerts on pools whose prefill and decode run in engines of their own. Others have no such series, and so no such alert."""

from plimsoll.alerts.rules import Alert
from plimsoll.alerts.templates import REPLICA, VALUE, of, serving
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.spec.objectives import Pool

ROLE = "{{ $labels.role }}"
REMEMBERED = "1h"  # for which a role that was there is expected
HOLD = 120.0  # seconds: a rolling restart of a role's last engine takes less


def role_alerts(pool: Pool) -> list[Alert]:
    """Return a pool's alerts on its roles."""
    return [_role_missing(pool), _blocks_reused(pool)]


def _role_missing(pool: Pool) -> Alert:
    """A pool serves nothing without prefill or without decode, however many replicas of the other are up."""
    info = of(c.REPLICA_INFO, pool)
    known = f'group by (role) (last_over_time({info.removesuffix("}")},role=~"prefill|decode"}}[{REMEMBERED}]))'
    return Alert(
        name="LLMRoleMissing",
        severity="page",
        expr=f"{known}\nunless group by (role) ({serving(pool)})",
        hold=HOLD,
        summary=f"No {ROLE} engine is up.",
        description=(
            f"No {ROLE} engine of {pool.name} has been up for 2 minutes. The pool can't serve requests that need it, "
            "however many engines of the other role are up."
        ),
        panel=links.ROLES,
        pool=pool.name,
    )


def _blocks_reused(pool: Pool) -> Alert:
    """A decode engine read blocks of which prefill's lease had ended: they may have held another request's tokens."""
    late = of(c.KV_TRANSFER_FAILURES, pool, reason="late")
    return Alert(
        name="LLMKVBlocksReused",
        severity="page",
        expr=f"sum by (instance, replica) (increase({late}[10m])) >= 1",
        summary=f"Answers may be wrong: {REPLICA} reused blocks too early.",
        description=(
            f"{VALUE} KV cache transfers from {REPLICA} of {pool.name} ended after their lease in 10 minutes. Their blocks may have been "
            "reused meanwhile, so that answers rest on another request's tokens. Drain the replica."
        ),
        panel=links.KV_TRANSFERS,
        pool=pool.name,
        variables={"replica": REPLICA},
    )

"""Groups: pods over several nodes that serve as one replica. The replica is down while any member is lost, whatever its page answers.

A member is lost if its pod isn't ready, a GPU of it doesn't respond, or its node's exporter doesn't report it. Joins use the labels of
the pods, so they need `honor_labels` in the scrape job.
"""

from plimsoll.alerts.rules import Alert, Recording
from plimsoll.alerts.templates import EACH, REPLICA, VALUE, PoolFilter, each_of
from plimsoll.slo import links
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.units import duration_text

GROUP = "cluster, namespace, group"
MEMBER = f"{GROUP}, member, pod, node"
BRIDGED = "2m"  # a restart of an exporter takes less
REMEMBERED = "1h"  # for which a member that was there is named
_GPU_LOST = f"({c.GPU_POD} and on (instance, uuid) {c.GPU_UP} == 0)"
_ON_GPU, _ON_POD = "on (instance, namespace, pod)", "on (cluster, namespace, pod)"


def group_recordings() -> list[Recording]:
    """Return the lost members of each group, and how many each replica lacks."""
    ready = f"last_over_time({c.MEMBER_UP}[{BRIDGED}]) == 1 unless {_ON_GPU} {_GPU_LOST}"
    size = f"max by ({GROUP}) ({c.GROUP_SIZE})"
    missing = f"{size} - (count by ({GROUP}) (group by ({GROUP}, pod) ({ready})) or 0 * {size})"
    leaders = f'group by ({EACH}, namespace, group) ({c.REPLICA_POD}{{group!=""}})'
    return [
        Recording(recorded.MEMBER_LOST, _lost(), {}),
        Recording(recorded.MEMBERS_MISSING, f"{leaders} * on ({GROUP}) group_left () ({missing})", {}),
    ]


def _lost() -> str:
    reasons = {
        "not_ready": f"{c.MEMBER_UP} == 0",
        "gpu": f"{c.MEMBER_UP} and {_ON_GPU} {_GPU_LOST}",
        "not_reported": f"last_over_time({c.MEMBER_UP}[{REMEMBERED}]) unless {_ON_POD} {c.MEMBER_UP}",
    }
    named = (
        f'label_replace(group by ({MEMBER}) ({query}), "reason", "{why}", "", "")' for why, query in reasons.items()
    )
    return f"\nor {_ON_POD} ".join(named)


def member_lost(name: str, pool: str, keep: PoolFilter, hold: float) -> Alert:
    """Return the alert `name` for a replica whose page answers while a member of its group is lost."""
    short = f"max by ({EACH}, namespace, group) ({recorded.MEMBERS_MISSING}) > 0"
    answers = f"{short} and on (instance, replica) {c.REPLICA_UP} == 1"
    lost = each_of(
        recorded.MEMBER_LOST + '{namespace="%s",group="%s"}',
        "$labels.namespace $labels.group",
        " {{ .Labels.pod }} on {{ .Labels.node }} ({{ .Labels.reason }})",
        " Lost:",
        ".",
    )
    return Alert(
        name=name,
        severity="ticket",
        expr=keep(answers, "instance, replica"),
        hold=hold,
        summary=f"{REPLICA} lacks a member of its group.",
        description=(
            f"{REPLICA} needs all pods of {{{{ $labels.group }}}}, and {VALUE} have been lost for {duration_text(hold)}.{lost} It counts as "
            "down, even if its endpoint responds. Check the pod's node, then recreate the group."
        ),
        panel=links.REPLICAS,
        pool=pool,
        labels={"reason": "member_lost"},  # promtool warns of two rules with the same labels
        variables={"replica": REPLICA},
    )

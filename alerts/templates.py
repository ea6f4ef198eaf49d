"""Templates and selectors shared by the alert modules, and how a replica or node is matched with its pool."""

from collections.abc import Callable

from plimsoll.slo import metrics as c
from plimsoll.slo.error_budget.burn_rate import LEAST
from plimsoll.slo.metrics import Metric, recorded
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import Pool, Spec

VALUE = "{{ $value | humanize }}"
PERCENT = "{{ $value | humanizePercentage }}"
DURATION = "{{ $value | humanizeDuration }}"
REPLICA = "{{ $labels.replica }}"
INSTANCE = "{{ $labels.instance }}"
GPU = "{{ $labels.uuid }}"
COLLECTOR = "{{ $labels.collector }}"
# What identifies a replica in alerts. The target labels keep regions and clusters apart in routing; they are absent elsewhere.
EACH = "instance, replica, cluster, region"
# Narrows a vector to what belongs to one pool, or to none: (vector, labels to match on) -> vector.
PoolFilter = Callable[[str, str], str]


def each_of(query: str, arguments: str, text: str, before: str = "", after: str = "") -> str:
    """Return a template that shows a text for each series of a query, and nothing without one."""
    inner = query.replace('"', '\\"')
    found = f'query (printf "{inner}" {arguments})'
    return f"{{{{ with {found} }}}}{before}{{{{ range . }}}}{text}{{{{ end }}}}{after}{{{{ end }}}}"


_MINE = '{instance="%s",uuid="%s"}'
_LABELS = "$labels.instance $labels.uuid"
# Who is affected by a GPU: its replica, its pods, and the other GPUs of the replica's group, where these are known.
GROUP = (
    each_of(f"{c.GPU_ASSIGNMENT}{_MINE}", _LABELS, " {{ .Labels.replica }}", " Replica:", ".")
    + each_of(
        f"{c.GPU_POD}{_MINE}",
        _LABELS,
        " {{ .Labels.namespace }}/{{ .Labels.pod }}/{{ .Labels.container }}",
        " Pod:",
        ".",
    )
    + each_of(
        f'group by (uuid) ({c.GPU_ASSIGNMENT}{{instance="%s",uuid!="%s"}} and on (instance, replica) {c.GPU_ASSIGNMENT}{_MINE})',
        f"{_LABELS} {_LABELS}",
        " {{ .Labels.uuid }}",
        " Other GPUs of its group:",
        ".",
    )
)


def of(metric: Metric, pool: Pool, part: str = "", **labels: str) -> str:
    """Return a selector of a pool's metric, or of `part`, one of its sample names."""
    further = ((name, tuple(value.split("|"))) for name, value in labels.items())
    return str(Selector(part or metric.name, (*pool.labels, *further)))


def served(on: str, pool: Pool | None = None) -> str:
    """Return a query for what serves the pool (default: any), or did when it was last seen: a replica that is down exports no model."""
    info = of(c.REPLICA_INFO, pool, recorded.LAST_INFO) if pool else recorded.LAST_INFO
    return f"group by ({on}) ({info})"


def of_pool(pool: Pool) -> PoolFilter:
    """Return a filter that keeps what served the pool."""
    return lambda vector, on: f"{vector}\nand on ({on}) {served(on, pool)}"


def of_no_pool(vector: str, on: str) -> str:
    """Keep what never reported which model it serves."""
    return f"{vector}\nunless on ({on}) {served(on)}"


def pool_filters(spec: Spec) -> list[tuple[str, PoolFilter]]:
    """Return every pool's name and filter; the last one, without a name, keeps what belongs to no pool."""
    return [*((pool.name, of_pool(pool)) for pool in spec.pools), ("", of_no_pool)]


def harmed(pool: Pool) -> str:
    """Return a query with a result, without labels, only while users of the pool feel it: an SLO of it burns at a page's rate."""
    own = Selector(recorded.USER_HARM, (("pool", (pool.name,)),))
    return f"max({own}) > {LEAST['page']:g}"


def result_of(query: str, how: str = "humanize") -> str:
    """Return a template that shows a query's result, or "unknown" where it has none."""
    query = query.replace("`", r"\x60")  # ends Go's raw string; only a quoted name of the query can have one
    return f"{{{{ with query `{query}` }}}}{{{{ . | first | value | {how} }}}}{{{{ else }}}}unknown{{{{ end }}}}"


def text_for(label: str, texts: dict[str, str], other: str) -> str:
    """Return a template that shows the text for a label's value, or `other`."""
    begin = "".join(
        f'{{{{ {"else if" if index else "if"} eq {label} "{value}" }}}}{text}'
        for index, (value, text) in enumerate(texts.items())
    )
    return f"{begin}{{{{ else }}}}{other}{{{{ end }}}}"


def serving(pool: Pool) -> str:
    """Return the replicas of a pool that are up. One that sleeps, or lacks a member of its group, answers its metrics and serves nothing."""
    up = f"{of(c.REPLICA_INFO, pool)} and on (instance, replica) {c.REPLICA_UP} == 1"
    awake = f"{up} unless on (instance, replica) {c.REPLICA_AWAKE} == 0"
    return f"{awake} unless on (instance, replica) {recorded.MEMBERS_MISSING} > 0"

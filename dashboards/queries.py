"""PromQL of the dashboards. Every selector carries the dashboard's variables; names come from the catalogue and plimsoll.slo.metrics.recorded.

Three habits hold throughout: a quantile is taken from summed buckets, a ratio is a ratio of sums, and both vanish where
there was no traffic instead of showing NaN or a good-looking zero.
"""

from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.metrics import recorded as series

# Labels that Prometheus gives to targets, each a dashboard variable; where it gives none, `.*` matches that too.
TARGETS = ("region", "node")
# Dashboard variables that narrow an engine metric, where it has the label.
_SCOPE = ("model", "replica")
_RATE = "[$__rate_interval]"
# Every node may call its replica 127.0.0.1:8000, so the exporter's address tells them apart.
REPLICA = "instance, replica"
REPLICA_NAME = "{{replica}} @ {{instance}}"


def select(metric: Metric, name: str = "", **labels: str) -> str:
    """Select a metric's series (or `name`, one of its parts) within the chosen regions, nodes, models and replicas."""
    scope = _matching(*(label for label in _SCOPE if label in metric.labels), *TARGETS)
    fixed = [f'{label}{"=~" if "|" in value else "="}"{value}"' for label, value in labels.items()]
    return _braces(name or metric.name, scope + fixed)


def of_models(recorded: str) -> str:
    """Select a recorded series of whole models within the chosen models and regions."""
    return _braces(recorded, _matching("model", "region"))


def of_replicas(recorded: str) -> str:
    """Select a recorded series of single replicas within what is chosen."""
    return _braces(recorded, _matching("model", "replica", *TARGETS))


def of_node(recorded: str) -> str:
    """Select a recorded series of whole nodes: those of the chosen replicas."""
    return of_nodes(_braces(recorded, _matching(*TARGETS)))


def evaluated(recorded: str, *variables: str, **labels: str) -> str:
    """Select a recorded series within the chosen pools; `variables` names further ones, such as objective."""
    scope = _matching("pool", *variables)
    return _braces(recorded, scope + [f'{label}=~"{value}"' for label, value in labels.items()])


def _matching(*names: str) -> list[str]:
    return [f'{name}=~"${name}"' for name in names]


def _braces(name: str, matchers: list[str]) -> str:
    return f"{name}{{{','.join(matchers)}}}" if matchers else name


def rate(metric: Metric, by: str = "", **labels: str) -> str:
    """Events a second of a counter, summed."""
    return f"{_sum(by)}(rate({select(metric, **labels)}{_RATE}))"


def gauge(metric: Metric, by: str, how: str = "sum") -> str:
    """Aggregate a gauge: a sum of counts, or the max of shares (never an average)."""
    return f"{how} by ({by}) ({select(metric)})"


def quantile(share: float, histogram: Metric, by: str = "model") -> str:
    """Quantile over the merged buckets of the series that share `by`. Different models are never merged."""
    buckets = f"sum by (le, {by}) (rate({select(histogram, histogram.bucket)}{_RATE}))"
    return f"histogram_quantile({share}, {buckets}) >= 0"


def recorded_quantile(share: float, histogram: Metric) -> str:
    """The same of all replicas of each chosen model, from the buckets that the rules have summed: it costs next to nothing."""
    buckets = f"sum by (le, model) ({of_models(series.bucket_rate(histogram))})"
    return f"histogram_quantile({share}, {buckets}) >= 0"


def recorded_p95(histogram: Metric) -> str:
    """The 95th percentile of each replica, as the rules have worked it out."""
    return of_replicas(series.replica_p95(histogram))


def quantile_by_version(share: float, histogram: Metric) -> str:
    """Quantile per version of the engine, so that a rollout can be evaluated while both run."""
    buckets = f"sum by (le, model, version) ({_versioned(select(histogram, histogram.bucket))})"
    return f"histogram_quantile({share}, {buckets}) >= 0"


def rate_by_version(metric: Metric, **labels: str) -> str:
    """Events a second of a counter, per version of the engine."""
    return f"sum by (model, version) ({_versioned(select(metric, **labels))})"


def _versioned(counter: str) -> str:
    return f"rate({counter}{_RATE}) {_join(REPLICA, 'version', of_version())}"


def of_version() -> str:
    """What the chosen replicas of the chosen versions serve."""
    return _braces(metrics.REPLICA_INFO.name, _matching(*_SCOPE, *TARGETS, "version"))


def _join(on: str, label: str, info: str) -> str:
    """Add a label from an info metric. For a moment after a change there may be two of them, which would end the query."""
    return f"* on ({on}) group_left ({label}) topk by ({on}) (1, {info})"


def ratio(part: str, whole: str) -> str:
    """Ratio of two sums, absent while the whole is zero."""
    return f"{part} / ({whole} > 0)"


def replicas_up() -> str:
    """Each replica's llm_replica_up."""
    return _chosen(select(metrics.REPLICA_UP), REPLICA)


def replicas_known(**labels: str) -> str:
    """How many replicas say what they serve. Each counts once, also in the moment in which it changes its version."""
    return f"count(group by ({REPLICA}) ({select(metrics.REPLICA_INFO, **labels)}))"


def gpus_up() -> str:
    """Each expected GPU's gpu_up, of the chosen replicas."""
    return of_gpus(select(metrics.GPU_UP))


def of_nodes(vector: str) -> str:
    """Keep what belongs to the nodes of the chosen replicas."""
    return _chosen(vector, "instance")


def of_gpus(vector: str) -> str:
    """Keep what belongs to the GPUs of the chosen replicas: by the assignment where it is known, else to their nodes."""
    chosen = _without(of_nodes(vector), "instance, uuid", metrics.GPU_ASSIGNMENT.name, select(metrics.GPU_ASSIGNMENT))
    return f"({chosen})"


def per_gpu(vector: str) -> str:
    """A GPU's number with the index that nvidia-smi shows, of the chosen replicas."""
    return f"{of_gpus(vector)} {_join('instance, uuid', 'index', select(metrics.GPU_INFO))}"


def started() -> str:
    """Replicas whose process differs from the one seen two minutes ago, or that were not seen before: restarted or added.

    `changes` would miss them: while an engine loads its model there is a gap longer than any short window.
    """
    now = of_replicas(series.LAST_START)
    return f"({now} > {now} offset 2m) or ({now} unless {now} offset 2m)"


def begun() -> str:
    """Versions that serve and did not five minutes ago."""
    serving = select(metrics.REPLICA_INFO)
    return f"group by (model, version) ({serving}) unless group by (model, version) ({serving} offset 5m)"


def _chosen(vector: str, on: str) -> str:
    """Leave out what is known to belong to replicas that are not chosen; `on` names the labels that they share.

    What is down says no model any more, so what it last said within a day decides. What never said is shown whatever is
    chosen: a replica that cannot start must not hide.
    """
    return f"({_without(vector, on, series.LAST_INFO, of_replicas(series.LAST_INFO))})"


def _without(vector: str, on: str, known: str, chosen: str) -> str:
    """Leave out what `known` gives to others and `chosen` does not give to the chosen; where all are chosen, that costs nothing."""
    others = " or ".join(f'{known}{{{label}!~"${label}"}}' for label in (*_SCOPE, *TARGETS))
    return f"{vector} unless on ({on}) (({others}) unless on ({on}) {chosen})"


def ledger(metric: Metric, *variables: str) -> str:
    """The ledger's number for the objectives of the chosen pools; `variables` narrows them further, such as objective."""
    return f"min by (objective) ({evaluated(metric.name, *variables)})"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"

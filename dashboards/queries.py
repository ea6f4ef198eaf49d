"""PromQL of the dashboards. Every selector carries the dashboard's variables; names come from plimsoll.slo.metrics.

Quantiles come from summed buckets and ratios from sums. Without traffic both have no sample, neither NaN nor zero.
"""

from collections.abc import Mapping

from plimsoll.slo import metrics
from plimsoll.slo.metrics import Metric
from plimsoll.slo.metrics import recorded as series
from plimsoll.slo.sources.selector import Matcher

# Target labels that are dashboard variables. `.*` also matches targets without the label.
TARGETS = ("region", "node")
# Variables that narrow an engine metric that has the label.
_SCOPE = ("model", "replica")
_RATE = "[$__rate_interval]"
REGION = 'region=~"$region"'  # the matcher that every selector of a target has
# Replicas of different nodes may share a name such as 127.0.0.1:8000; the exporter's address makes it unique.
REPLICA = "instance, replica"
REPLICA_NAME = "{{replica}} @ {{instance}}"


def select(metric: Metric, name: str = "", /, **labels: str | tuple[str, ...]) -> str:
    """Return the selector of a metric (or of `name`, one of its parts) for the chosen regions, nodes, models and replicas."""
    scope = _matching(*(label for label in _SCOPE if label in metric.labels), *TARGETS)
    return _braces(name or metric.name, scope + _fixed(labels))


def of_models(name: str, *variables: str) -> str:
    """Return the selector of a series with a model, for the chosen models, regions and `variables`, such as node."""
    return _braces(name, _matching("model", "region", *variables))


def of_replicas(recorded: str, **labels: str) -> str:
    """Return the selector of a series recorded per replica, for the chosen replicas."""
    return _braces(recorded, _matching("model", "replica", *TARGETS) + _fixed(labels))


def of_node(recorded: str) -> str:
    """Return the query of a series recorded per node, for the nodes of the chosen replicas."""
    return of_nodes(_braces(recorded, _matching(*TARGETS)))


def of_pools(name: str, *variables: str, **labels: str | tuple[str, ...]) -> str:
    """Return the selector of a series with a pool, for the chosen pools and `variables`, such as objective."""
    return _braces(name, _matching("pool", *variables) + _fixed(labels))


def _matching(*names: str) -> list[str]:
    return [f'{name}=~"${name}"' for name in names]


def _fixed(labels: Mapping[str, str | tuple[str, ...]]) -> list[str]:
    """Return the matchers of fixed values; of several values either matches."""
    values = {label: (value,) if isinstance(value, str) else value for label, value in labels.items()}
    return [literal(str(Matcher.one_of(label, value))) for label, value in values.items()]


def literal(text: str) -> str:
    """Write a text with a quoted name so that Grafana finds no variable in it: `$` and `[[` become PromQL's escapes."""
    return text.replace("$", r"\x24").replace("[[", r"\x5b[")


def _braces(name: str, matchers: list[str]) -> str:
    return f"{name}{{{','.join(matchers)}}}" if matchers else name


def rate(metric: Metric, by: str = "", /, **labels: str | tuple[str, ...]) -> str:
    """Return a counter's increase per second, summed over `by`."""
    return f"{_sum(by)}(rate({select(metric, **labels)}{_RATE}))"


def gauge(metric: Metric, by: str, how: str = "sum") -> str:
    """Return a gauge aggregated over `by`: `how` is sum for counts and max for ratios. Averages hide the worst replica."""
    return f"{how} by ({by}) ({select(metric)})"


def quantile(q: float, histogram: Metric, by: str = "model") -> str:
    """Return a quantile over the summed buckets of the series that share `by`. Models are never merged."""
    buckets = f"sum by (le, {by}) (rate({select(histogram, histogram.bucket)}{_RATE}))"
    return f"histogram_quantile({q}, {buckets}) >= 0"


def recorded_quantile(q: float, histogram: Metric) -> str:
    """Return a quantile per chosen model, over all its replicas, from recorded bucket sums. Far cheaper than `quantile`."""
    buckets = f"sum by (le, model) ({of_models(series.bucket_rate(histogram))})"
    return f"histogram_quantile({q}, {buckets}) >= 0"


def recorded_p95(histogram: Metric) -> str:
    """Return the recorded 95th percentile of each replica."""
    return of_replicas(series.replica_p95(histogram))


def quantile_by_version(q: float, histogram: Metric) -> str:
    """Return a quantile per engine version, to compare both while a rollout runs."""
    buckets = f"sum by (le, model, version) ({_versioned(select(histogram, histogram.bucket))})"
    return f"histogram_quantile({q}, {buckets}) >= 0"


def rate_by_version(metric: Metric, **labels: str | tuple[str, ...]) -> str:
    """Return a counter's increase per second, per engine version."""
    return f"sum by (model, version) ({_versioned(select(metric, **labels))})"


def _versioned(counter: str) -> str:
    return f"rate({counter}{_RATE}) {_join(REPLICA, 'version', of_version())}"


def of_version() -> str:
    """Return the selector of the info metric for the chosen replicas and versions."""
    return _braces(metrics.REPLICA_INFO.name, _matching(*_SCOPE, *TARGETS, "version"))


def _join(on: str, label: str, info: str) -> str:
    """Join a label from an info metric. `topk` keeps one series: two overlap for a moment after a change and fail the join."""
    return f"* on ({on}) group_left ({label}) topk by ({on}) (1, {info})"


def ratio(part: str, whole: str) -> str:
    """Return the ratio of two sums, without a sample while `whole` is zero."""
    return f"{part} / ({whole} > 0)"


def replicas_up() -> str:
    """Return llm_replica_up of each chosen replica."""
    return _keep_chosen(select(metrics.REPLICA_UP), REPLICA)


def replica_count(**labels: str | tuple[str, ...]) -> str:
    """Return the number of replicas that report their model. A replica that changes its version counts once."""
    return f"count(group by ({REPLICA}) ({select(metrics.REPLICA_INFO, **labels)}))"


def gpus_up() -> str:
    """Return gpu_up of each expected GPU of the chosen replicas."""
    return of_gpus(select(metrics.GPU_UP))


def of_nodes(vector: str) -> str:
    """Keep the series on the nodes of the chosen replicas."""
    return _keep_chosen(vector, "instance")


def of_gpus(vector: str) -> str:
    """Keep the series of the chosen replicas' GPUs: by GPU assignment where it is known, otherwise by node."""
    chosen = _drop_others(
        of_nodes(vector), "instance, uuid", metrics.GPU_ASSIGNMENT.name, select(metrics.GPU_ASSIGNMENT)
    )
    return f"({chosen})"


def per_gpu(vector: str) -> str:
    """Return a per-GPU vector of the chosen replicas, with the index that nvidia-smi shows."""
    return f"{of_gpus(vector)} {_join('instance, uuid', 'index', select(metrics.GPU_INFO))}"


def replica_starts() -> str:
    """Return the replicas that restarted or were added in the last two minutes.

    `changes()` would miss them: while an engine loads its model, the gap is longer than a short window.
    """
    now = of_replicas(series.LAST_START)
    return f"({now} > {now} offset 2m) or ({now} unless {now} offset 2m)"


def version_changes() -> str:
    """Return the versions that serve now and did not five minutes ago."""
    serving = select(metrics.REPLICA_INFO)
    return f"group by (model, version) ({serving}) unless group by (model, version) ({serving} offset 5m)"


def _keep_chosen(vector: str, on: str) -> str:
    """Drop the series of replicas that are not chosen; `on` names the labels that they share.

    A replica that is down reports no model: its last report within a day decides. One that never reported is always
    shown, so that a replica that cannot start stays visible.
    """
    return f"({_drop_others(vector, on, series.LAST_INFO, of_replicas(series.LAST_INFO))})"


def _drop_others(vector: str, on: str, known: str, chosen: str) -> str:
    """Drop the series that `known` assigns to other replicas and `chosen` doesn't assign to a chosen one."""
    others = " or ".join(f'{known}{{{label}!~"${label}"}}' for label in (*_SCOPE, *TARGETS))
    return f"{vector} unless on ({on}) (({others}) unless on ({on}) {chosen})"


def by_slo(metric: Metric, *variables: str) -> str:
    """Return a gauge of the SLO service per SLO of the chosen pools; `variables` narrows them further."""
    return f"min by (objective) ({of_pools(metric.name, *variables)})"


def _sum(by: str) -> str:
    return f"sum by ({by}) " if by else "sum"

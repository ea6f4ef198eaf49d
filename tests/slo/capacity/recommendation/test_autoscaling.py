"""What an autoscaler is told to read is what we publish, and an outage never reads as zero load."""

import re

import yaml

from paths import ROOT
from plimsoll.slo import metrics
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.spec import objectives

POOL = objectives.load((ROOT / "slo" / "objectives.yaml").read_text()).pools[0]
EVENTS, DISRUPTION, KEDA, (BY_API,), HPA = [
    yaml.safe_load(text)
    for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "how-to" / "autoscale.md").read_text(), re.DOTALL)
]
BEHAVIORS = (KEDA["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"], HPA["spec"]["behavior"])


def test_the_manifests_read_what_we_publish_within_the_pools_limits() -> None:
    (by_prometheus,) = KEDA["spec"]["triggers"]
    query = f'max({metrics.RECOMMENDED_NODES}{{pool="{POOL.name}"}})'
    assert (by_prometheus["type"], by_prometheus["metadata"]["query"]) == ("prometheus", query)
    assert BY_API["metadata"]["url"].endswith(f"/api/v1/pools/{POOL.name}/recommendation")
    assert BY_API["metadata"]["valueLocation"] in Recommendation.model_fields
    assert (KEDA["spec"]["minReplicaCount"], KEDA["spec"]["maxReplicaCount"]) == (POOL.nodes.min, POOL.nodes.max)


def test_the_announced_event_is_one_of_an_objectives_file() -> None:
    spec = objectives.load((ROOT / "slo" / "objectives.yaml").read_text() + yaml.safe_dump(EVENTS))
    assert [(one.pool, one.factor) for one in spec.events] == [(POOL.name, 2.5)]


def test_an_outage_is_an_error_that_keeps_the_replicas() -> None:
    assert KEDA["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
    assert "fallback" not in KEDA["spec"]  # KEDA before 2.17 drops its `behavior` and scales to its `replicas`


def test_nodes_are_added_at_once_and_removed_one_at_a_time_after_the_pools_window() -> None:
    window = round(POOL.timing.scale_in_stabilization)
    for behavior in BEHAVIORS:
        assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] == window
        assert behavior["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": window}]


def test_a_plain_hpa_reads_the_same_metric_within_the_same_limits() -> None:
    (metric,) = HPA["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == metrics.RECOMMENDED_NODES.name
    assert metric["external"]["metric"]["selector"]["matchLabels"] == {"pool": POOL.name}
    # HPA wants ceil(value / target) pods: the number itself.
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "1"}
    assert (HPA["spec"]["minReplicas"], HPA["spec"]["maxReplicas"]) == (POOL.nodes.min, POOL.nodes.max)


def test_one_pod_at_a_time_may_be_disrupted() -> None:
    assert DISRUPTION["spec"]["maxUnavailable"] == 1
    assert DISRUPTION["spec"]["selector"]["matchLabels"] == {"app": HPA["spec"]["scaleTargetRef"]["name"]}

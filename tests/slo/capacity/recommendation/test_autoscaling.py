"""What an autoscaler is told to read is what we publish, and an outage never reads as zero load."""

import re

import yaml

from paths import ROOT
from plimsoll.slo import metrics
from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.spec import objectives

POOL = objectives.load((ROOT / "slo" / "objectives.yaml").read_text()).pools[0]
*MANIFESTS, HPA = [
    yaml.safe_load(text)
    for text in re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "how-to" / "autoscale.md").read_text(), re.DOTALL)
]


def test_the_manifests_read_what_we_publish_within_the_pools_limits() -> None:
    by_prometheus, by_api = (manifest["spec"]["triggers"][0] for manifest in MANIFESTS)
    query = f'max({metrics.RECOMMENDED_NODES}{{pool="{POOL.name}"}})'
    assert (by_prometheus["type"], by_prometheus["metadata"]["query"]) == ("prometheus", query)
    assert by_api["metadata"]["url"].endswith(f"/api/v1/pools/{POOL.name}/recommendation")
    assert by_api["metadata"]["valueLocation"] in Recommendation.model_fields
    for manifest in MANIFESTS:
        limits = (manifest["spec"]["minReplicaCount"], manifest["spec"]["maxReplicaCount"])
        assert limits == (POOL.nodes.min, POOL.nodes.max)


def test_an_outage_is_an_error_that_keeps_the_replicas() -> None:
    assert MANIFESTS[0]["spec"]["triggers"][0]["metadata"]["ignoreNullValues"] == "false"
    assert [manifest["spec"]["fallback"]["behavior"] for manifest in MANIFESTS] == ["currentReplicas"] * 2


def test_the_autoscaler_adds_no_delay_of_its_own() -> None:
    for manifest in MANIFESTS:
        behavior = manifest["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert [behavior[way]["stabilizationWindowSeconds"] for way in ("scaleUp", "scaleDown")] == [0, 0]


def test_a_plain_hpa_reads_the_same_metric_within_the_same_limits() -> None:
    (metric,) = HPA["spec"]["metrics"]
    assert metric["external"]["metric"]["name"] == metrics.RECOMMENDED_NODES.name
    assert metric["external"]["metric"]["selector"]["matchLabels"] == {"pool": POOL.name}
    # HPA wants ceil(value / target) pods: the number itself.
    assert metric["external"]["target"] == {"type": "AverageValue", "averageValue": "1"}
    assert (HPA["spec"]["minReplicas"], HPA["spec"]["maxReplicas"]) == (POOL.nodes.min, POOL.nodes.max)
    assert {way["stabilizationWindowSeconds"] for way in HPA["spec"]["behavior"].values()} == {0}

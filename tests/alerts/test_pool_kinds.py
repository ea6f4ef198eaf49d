"""Kinds of pools: which of the default alerts they have, and which SLOs make sense."""

import re
from collections import defaultdict

import pytest
import yaml

from plimsoll.alerts.build import render
from plimsoll.slo.spec.objectives import SpecError, load
from world import SPEC_TEXT


def health(kind: str) -> dict[str, set[str]]:
    """The default alerts of a pool of a kind, and their severities."""
    text = SPEC_TEXT.replace("    model: m\n", f"    model: m\n    kind: {kind}\n").replace(
        "time_to_first_token", "request_duration"
    )
    found: dict[str, set[str]] = defaultdict(set)
    for group in yaml.safe_load(render(load(text))["health.rules.yml"])["groups"]:
        for rule in group["rules"]:
            if rule["labels"].get("pool") == "pool" and group["name"] == "plimsoll-pools":
                found[rule["alert"]].add(rule["labels"]["severity"])
    return found


def test_nothing_that_a_batch_pool_does_by_design_alerts_and_nothing_pages() -> None:
    usual, batch = health("interactive"), health("batch")
    assert "page" in usual["LLMQueueDepthHigh"] | usual["LLMReplicaDown"]
    assert batch.keys() < usual.keys()
    assert not [name for name in batch if re.search("Queue|KVCache|NearCapacity|MaxedOut", name)]
    assert set().union(*batch.values()) == {"ticket"} | ({"info"} & set().union(*usual.values()))
    assert {"LLMReplicaDown", "LLMReplicaStalled", "LLMRequestsRejected"} <= batch.keys()


def test_an_embedding_pool_has_no_alert_on_tokens() -> None:
    usual, embedding = health("interactive"), health("embedding")
    assert embedding.keys() < usual.keys()
    assert not [name for name in embedding if re.search("KV|Token|Stalled|Preempt|Prefix|Cold", name)]
    assert embedding["LLMQueueDepthHigh"] == usual["LLMQueueDepthHigh"]
    assert embedding["LLMReplicaDown"] == usual["LLMReplicaDown"]


@pytest.mark.parametrize(
    ("indicator", "legal"),
    [
        ("availability", True),
        ("{request_duration: 200ms}", True),
        ("{goodput: {e2e: 1s}}", True),
        ("{time_to_first_token: 1s}", False),
        ("{time_per_output_token: 1s}", False),
        ("{goodput: {ttft: 1s, e2e: 4s}}", False),
    ],
)
def test_token_latencies_of_an_embedding_pool_are_an_error(indicator: str, legal: bool) -> None:
    text = SPEC_TEXT.replace("{time_to_first_token: 600ms}", indicator)
    embedding = text.replace("    model: m\n", "    model: m\n    kind: embedding\n")
    assert load(text.replace("    model: m\n", "    model: m\n    kind: batch\n")).pools[0].kind == "batch"
    if legal:
        assert load(embedding).pools[0].kind == "embedding"
    else:
        with pytest.raises(
            SpecError, match=r"objectives\[0\]\.indicator: .* needs generated tokens, and pool pool is of kind"
        ):
            load(embedding)


def test_a_kind_that_is_none_is_answered_with_the_kinds() -> None:
    with pytest.raises(SpecError, match=r"pools\[0\]\.kind: .* Use one of: interactive, batch, embedding\."):
        load(SPEC_TEXT.replace("    model: m\n", "    model: m\n    kind: bulk\n"))

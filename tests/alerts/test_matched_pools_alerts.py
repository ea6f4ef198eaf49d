"""Rules of two pools of one model, by promtool: what happens to one pool's replicas is recorded, and alerts, for that pool alone."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from plimsoll.alerts.build import render
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from promtool import Batch, case, counter, fires, is_value, only, run_batches, series, silent
from regions import EU, US, spec

pytestmark = pytest.mark.prometheus
RULES = render(spec())
# Both nodes call their replica alike.
PLACES = {"eu": {**EU, "instance": "e:9800"}, "us": {**US, "instance": "u:9800"}}


def given(metric: Any, samples: str, place: str, **labels: str) -> dict[str, str]:
    own = {"replica": "r1", "model": "m", "engine": "vllm", **labels}
    return {"series": series(str(metric), {**PLACES[place], **own}), "values": samples}


def world(up: dict[str, str]) -> list[dict[str, str]]:
    """Both replicas serve from the start; `up` is llm_replica_up of each, 1 or from the tenth minute on 0."""
    found = []
    for place, samples in up.items():
        served = "1x10" if samples.endswith("0x50") else "1x60"
        found += [
            given(c.REPLICA_INFO, served, place, version="1", simulated="false"),
            {"series": series(c.REPLICA_UP.name, {**PLACES[place], "replica": "r1"}), "values": samples},
        ]
    return found


def test_a_replica_that_is_down_alerts_for_its_own_pool(tmp_path: Path) -> None:
    names = {"LLMReplicaDown", "LLMReplicasBelowMinimum"}
    checks = [fires(40, alertname=name, pool="eu") for name in sorted(names)]
    checks += [silent(40, alertname=name, pool="us") for name in sorted(names)]
    one = case("eu is down", world({"eu": "1x10 0x50", "us": "1x60"}), *checks)
    run_batches(tmp_path, [Batch(only(RULES["health.rules.yml"], names | {recorded.LAST_INFO}), [one])])


def test_good_and_total_are_recorded_for_the_pool_whose_replica_served_them(tmp_path: Path) -> None:
    bucket, count = c.TTFT.bucket, c.TTFT.count
    latencies = []
    for place, good, total in (("eu", 60.0, 60.0), ("us", 30.0, 120.0)):
        latencies += [
            given(bucket, counter((30, good)), place, rank="0", le="0.6"),
            given(count, counter((30, total)), place, rank="0"),
        ]
    names = {recorded.GOOD_RATE, recorded.TOTAL_RATE}
    rates = {"eu-fast": (1, 1), "us-fast": (0.5, 2)}
    checks = [
        is_value(f'sum({name}{{objective="{objective}"}})', 20, rate)
        for objective, both in rates.items()
        for name, rate in zip((recorded.GOOD_RATE, recorded.TOTAL_RATE), both, strict=True)
    ]
    one = case("rates", [*world({"eu": "1x60", "us": "1x60"}), *latencies], *checks)
    run_batches(tmp_path, [Batch(only(RULES["objectives.rules.yml"], names), [one])])


def test_recorded_series_have_the_labels_that_distinguish_the_pools(tmp_path: Path) -> None:
    buckets = [given(c.TTFT.bucket, counter((30, 60)), place, rank="0", le="0.6") for place in PLACES]
    name = recorded.bucket_rate(c.TTFT)
    checks = [
        {
            "expr": f"count by (region, namespace) ({what})",
            "eval_time": "20m",
            "exp_samples": [
                {"labels": series("", {"namespace": "chat", "region": region}), "value": 1}
                for region in ("eu-west", "us")
            ],
        }
        for what in (name, recorded.LAST_INFO)
    ]
    one = case("labels", [*world({"eu": "1x60", "us": "1x60"}), *buckets], *checks)
    rules = yaml.safe_dump(
        {
            "groups": [
                group
                for file in ("fleet.rules.yml", "health.rules.yml")
                for group in yaml.safe_load(only(RULES[file], {name, recorded.LAST_INFO}))["groups"]
            ]
        },
        width=10_000,
    )
    run_batches(tmp_path, [Batch(rules, [one])])

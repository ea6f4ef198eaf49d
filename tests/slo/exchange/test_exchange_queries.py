"""Which queries of Sloth, Pyrra and OpenSLO files are recognized: every name of an engine, and nothing by guess."""

import pytest

from plimsoll.compose.commands.slos.import_ import READERS, names
from plimsoll.slo.exchange.conversion import Reading
from plimsoll.slo.exchange.document import Document

TOTAL = 'sum(rate(vllm:e2e_request_latency_seconds_count{model_name="m"}[5m]))'
BUCKET = 'sum(rate(vllm:e2e_request_latency_seconds_bucket{model_name="m",le="5"}[5m]))'


@pytest.mark.parametrize(
    ("error", "total", "why"),
    [
        (f"{TOTAL} - {BUCKET}", TOTAL.replace("[5m]", "[1h]"), "mixes rate over"),
        (f"{TOTAL} - {BUCKET}", TOTAL.replace("rate", "increase"), "mixes increase over"),
        (f"{TOTAL} - {BUCKET}", TOTAL.replace('"m"', '"n"'), "has parts that select different series"),
        (BUCKET, TOTAL, "isn't an indicator"),
        (f"{TOTAL} - {BUCKET}".replace('"5"', '"+Inf"'), TOTAL, "counts every request as good"),
        (f"{TOTAL} - {BUCKET}".replace('="5"', '=~".*"'), TOTAL, "has the pattern le=~'.*'"),
        (f"{TOTAL} - {BUCKET}".replace('"5"', '"five"'), TOTAL, "has the bucket le='five'"),
        (f"2 * ({TOTAL} - {BUCKET})", TOTAL, "has *: only sums"),
        (f"{TOTAL} - {BUCKET}", f"{TOTAL} > 0", "has >: only sums"),
        (f"{TOTAL} - {BUCKET}", f"{TOTAL} - 0.1", "is more than a sum of counters: 0.1"),
        (f"{TOTAL} - {BUCKET}".replace("sum(", "avg("), TOTAL, "has avg()"),
        (f"{TOTAL} - {BUCKET}".replace("rate", "irate"), TOTAL, "has irate()"),
        (f"{TOTAL} - {BUCKET}".replace("[5m]", "[5m] offset 1d"), TOTAL, "looks at another time"),
        (f"{TOTAL} - {BUCKET} * 1", TOTAL, "has *: only sums"),
        ("sum_over_time((count(up < 0.75))[5m:]) OR on() vector(0)", TOTAL, "has sum_over_time()"),
        ("sum(", TOTAL, "isn't PromQL"),
        (
            'sum(rate(vllm:request_success_total{model_name="m",finished_reason="length"}[5m]))',
            'sum(rate(vllm:request_success_total{model_name="m"}[5m]))',
            "does not count stop, length as good",
        ),
        (
            'sum(rate(vllm:request_success_total{model_name="m",finished_reason=~"err.*"}[5m]))',
            'sum(rate(vllm:request_success_total{model_name="m"}[5m]))',
            "has the pattern reason=~'err.*'",
        ),
        (
            'sum(rate(llm_objective_requests_total{objective="x",outcome="bad"}[5m]))',
            'sum(rate(llm_objective_requests_total{objective="x"}[5m]))',
            "without their thresholds",
        ),
    ],
)
def test_what_is_not_recognised_is_lost_and_never_guessed_at(error: str, total: str, why: str) -> None:
    slo = {"name": "x", "objective": 99, "sli": {"events": {"error_query": error, "total_query": total}}}
    document = Document({"version": "prometheus/v1", "service": "s", "slos": [slo]})
    carried = READERS["sloth"]([document], Reading(names(), "30d"))
    assert carried.slos == []
    (loss,) = (loss for loss in carried.losses if loss.reason.startswith("SLO skipped"))
    assert loss.path == "slos[0].sli.events.total_query"
    assert why in loss.reason


@pytest.mark.parametrize(
    ("bucket", "count", "indicator"),
    [
        ("vllm:time_to_first_token_seconds", "", {"time_to_first_token": "5s"}),
        ("ray_vllm_time_to_first_token_seconds", "", {"time_to_first_token": "5s"}),
        ("sglang:e2e_request_latency_seconds", "", {"request_duration": "5s"}),
        ("llm_request_duration_seconds", "", {"request_duration": "5s"}),
    ],
)
def test_every_name_of_an_engine_and_our_own_are_known(bucket: str, count: str, indicator: dict[str, str]) -> None:
    label = "model" if bucket.startswith("llm") else "model_name"
    where = f'{label}="m"'
    total = f"sum(rate({bucket}_count{{{where}}}[5m]))"
    error = f'{total} - sum(rate({bucket}_bucket{{{where},le="5.0"}}[5m]))'
    slo = {"name": "x", "objective": 99, "sli": {"events": {"error_query": error, "total_query": total}}}
    carried = READERS["sloth"]([Document({"version": "prometheus/v1", "slos": [slo]})], Reading(names(), "30d"))
    assert [(slo.indicator, slo.model) for slo in carried.slos] == [(indicator, "m")]

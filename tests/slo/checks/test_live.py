"""What `plimsoll check --source` finds in live numbers, on both sides of each bound: pure, by a direct scrape, by a real Prometheus."""

import re

import pytest

from live_world import DAY, HOUR, NOW, POOL, found, replica, spec
from plimsoll.slo import metrics as c
from plimsoll.slo.checks.finding import Finding
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load

TIERS = ("page-fast", "page-slow", "ticket-fast", "ticket-slow")
TTFT = "indicator: {time_to_first_token: 500ms}, target: 99%, window: 28d"


def test_a_busy_replica_with_every_bound_leaves_nothing_to_say() -> None:
    assert found(spec(TTFT, "indicator: availability, target: 99.9%, window: 28d"), replica(), retention=28 * DAY) == []


def test_an_objective_by_tenant_needs_a_gateway_that_reports_its_model_at_its_threshold() -> None:
    by_tenant = spec(
        f"{TTFT}, group_by: tenant", "indicator: availability, target: 99.9%, window: 28d, group_by: tenant"
    )

    def reported(*more: Series) -> list[tuple[str, str, str]]:
        return [(one.code, one.path, one.message) for one in found(by_tenant, replica(), more, retention=28 * DAY)]

    def at(metric: str, **labels: str) -> Series:
        return Series(metric, {"gateway": "edge", "model": "m", "tenant": "acme", **labels}, [(NOW, 5.0)])

    for without in (reported(), reported(at(c.GATEWAY_REQUESTS.name, model="other"))):
        places = [("tenants-not-counted", f"objectives[{index}].group_by") for index in (0, 1)]
        assert [one[:2] for one in without] == places
        assert all("llm_gateway_requests_total is missing" in message for _, _, message in without)
    (off,) = reported(at(c.GATEWAY_REQUESTS.name), at(c.GATEWAY_TTFT.bucket, le="0.6"), at(c.GATEWAY_TTFT.count))
    assert off[:2] == ("tenants-not-counted", "objectives[0].group_by")
    assert "time_to_first_token <= 500ms" in off[2]
    assert reported(at(c.GATEWAY_REQUESTS.name), at(c.GATEWAY_TTFT.bucket, le="0.5"), at(c.GATEWAY_TTFT.count)) == []


@pytest.mark.parametrize(
    ("limit", "legal"),
    [("500ms", None), ("600ms", ("500ms", "750ms")), ("100ms", ("250ms",)), ("4s", ("1s",))],
)
def test_a_threshold_off_bucket_is_an_error_with_the_neighbors_that_the_replica_has(
    limit: str, legal: tuple[str, ...] | None
) -> None:
    chosen = spec(TTFT.replace("500ms", limit))
    findings = found(chosen, replica())
    if legal is None:
        assert findings == []
        return
    (finding,) = findings
    place = ("error", "threshold-not-a-bound", "objectives[0].indicator")
    assert (finding.level, finding.code, finding.path) == place
    assert f"SLO o0 counts nothing on r1: the threshold {limit} isn't a bucket bound" in finding.message
    assert f"(nearest: {', '.join(legal)})" in finding.message
    assert f"use {' or '.join(legal)}, or set bucket_mismatch" in finding.fix


def bucket_mismatch(
    mode: str, *, limit: str = "600ms", target: str = "99%", within: dict[float, float] | None = None
) -> list[Finding]:
    """Findings of one replica of which so many requests were within each bound, of a million in its life."""
    chosen = spec(
        f"indicator: {{time_to_first_token: {limit}}}, target: {target}, window: 28d, bucket_mismatch: {mode}"
    )
    series = [
        item._replace(samples=[(NOW, (within or {}).get(float(item.labels.get("le", "nan")), item.samples[0][1]))])
        for item in replica()
    ]
    return found(chosen, series)


@pytest.mark.parametrize(
    ("target", "level", "met_unknown"),
    [("93%", "info", False), ("93.1%", "warning", True), ("95.4%", "warning", True), ("95.5%", "info", False)],
)
def test_bounds_are_reported_with_their_width_and_whether_the_target_is_between(
    target: str, level: str, met_unknown: bool
) -> None:
    within = {0.25: 1e5, 0.5: 930_000, 0.75: 954_000.0}
    (finding,) = bucket_mismatch("bounds", target=target, within=within)
    place = (level, "threshold-between-bounds", "objectives[0].indicator")
    assert (finding.level, finding.code, finding.path) == place
    assert finding.message.startswith(
        "SLO o0: the threshold 600ms is between the bounds 500ms and 750ms on r1. 24,000 of 1,000,000 requests (since the start, "
        "2.40%) are indeterminate: 93.00% to 95.40% are good."
    )
    assert finding.message.endswith(" Whether the target is met is unknown.") == met_unknown


def test_a_lower_bound_is_reported_with_what_it_may_miss_and_a_threshold_at_a_bound_needs_nothing() -> None:
    (finding,) = bucket_mismatch("lower_bound", within={0.5: 930_000, 0.75: 954_000})
    assert "24,000 of 1,000,000 requests" in finding.message
    assert "93.00% to 95.40% are good. The lower bound, 93.00%, is reported." in finding.message
    assert bucket_mismatch("lower_bound", limit="500ms") == bucket_mismatch("bounds", limit="500ms") == []


def test_a_threshold_beyond_all_bounds_has_bounds_but_never_pages() -> None:
    (above,) = bucket_mismatch("bounds", limit="4s", within={1.0: 999_000})
    assert (above.level, above.code) == ("warning", "threshold-between-bounds")
    assert "above the highest bound, 1s, on r1" in above.message
    assert "99.90% to 100.00% are good. No request is confirmed bad, so it never pages." in above.message
    (below,) = bucket_mismatch("bounds", limit="100ms", within={0.25: 500_000})
    assert "below the lowest bound, 250ms, on r1" in below.message
    assert "0.00% to 50.00% are good" in below.message
    (none,) = bucket_mismatch("lower_bound", limit="100ms")
    assert (none.level, none.code) == ("error", "threshold-not-a-bound")
    assert none.fix.endswith("or set bucket_mismatch: bounds.")


def test_the_last_hour_counts_for_the_width_where_it_was_observed() -> None:
    chosen = spec(TTFT.replace("500ms", "600ms") + ", bucket_mismatch: bounds")
    series = [
        item._replace(
            samples=[
                (NOW - 15 * i, item.samples[0][1] - (i * 2 if item.labels.get("le") != "0.5" else i))
                for i in range(240, -1, -1)
            ]
        )
        if item.name.startswith(c.TTFT.name)
        else item._replace(samples=[(NOW - 15 * i, item.samples[0][1]) for i in range(240, -1, -1)])
        for item in replica()
    ]
    message = next(f.message for f in found(chosen, series) if f.code == "threshold-between-bounds")
    assert "240 of 480 requests (last hour, 50.00%) are indeterminate: 50.00% to 100.00% are good" in message


def test_only_the_replicas_off_bucket_are_named_and_requests_judged_in_the_engine_need_no_bound() -> None:
    chosen = spec(TTFT.replace("500ms", "600ms"))
    fine, evaluated = replica("r1", bounds=(0.6,)), replica("r3", evaluated={"o0": 1e6})
    assert found(chosen, fine, evaluated) == []
    (finding,) = found(chosen, fine, replica("r2"), evaluated)
    assert finding.code == "threshold-not-a-bound"
    assert "counts nothing on r2: " in finding.message


@pytest.mark.parametrize(("age", "live"), [(300.0, True), (301.0, False)])
def test_a_pool_matches_nothing_when_no_replica_of_its_model_was_read_within_five_minutes(
    age: float, live: bool
) -> None:
    series = [Series(item.name, item.labels, [(NOW - age, item.samples[0][1])]) for item in replica()]
    errors = [(f.code, f.path) for f in found(spec(TTFT), series) if f.level == "error"]
    assert errors == ([] if live else [("pool-not-live", "pools[0].model"), ("slo-not-live", "objectives[0]")])


def test_a_pool_whose_model_no_replica_serves_is_reported_with_the_models_that_are_live() -> None:
    (first, _, _) = found(spec(TTFT), replica(model="m-2"))
    assert (first.level, first.code) == ("error", "pool-not-live")
    assert first.message.endswith("no live replica serves the model m. Live models: m-2.")
    assert '`model: "m-2"`' in first.fix
    (unused, _) = found(load(POOL + "objectives: []\n"), replica(model="m-2"))
    assert (unused.level, unused.code) == ("warning", "pool-not-live")


def test_a_live_model_that_no_pool_names_is_reported_with_lines_that_load() -> None:
    chosen = spec(TTFT)
    (finding,) = found(chosen, replica(), replica("r2", model="acme/new"), retention=28 * DAY)
    assert (finding.level, finding.code) == ("warning", "model-without-pool")
    assert "Model acme/new (r2) belongs to no pool" in finding.message
    assert "`plimsoll init --source SOURCE --out FILE`" in finding.fix
    pool, slo = re.findall(r"`- (\{.*?\})`", finding.fix)
    pasted = load(f"version: plimsoll/v1\npools:\n- {pool}\nobjectives:\n- {slo}\n")
    assert (pasted.pools[0].model, str(pasted.objectives[0].indicator)) == ("acme/new", "time_to_first_token <= 500ms")


@pytest.mark.parametrize("metric", [c.KV_CACHE_USAGE, c.REQUESTS_RUNNING, c.REJECTED, c.ABANDONED])
def test_a_metric_that_is_missing_is_named_with_the_replicas_that_lack_it(metric: c.Metric) -> None:
    chosen = spec("indicator: availability, target: 99.9%, window: 28d")
    (finding,) = found(chosen, replica("r1"), replica("r2", without=[metric]))
    assert (finding.level, finding.code, finding.path) == ("warning", "metric-missing", "pools[0]")
    assert f"{metric} is missing on r2: " in finding.message
    (finding,) = found(chosen, replica("r1", without=[metric]))
    assert f"{metric} is missing on every replica: " in finding.message
    if metric in (c.REJECTED, c.ABANDONED):
        assert found(spec(TTFT), replica("r1", without=[metric])) == []


@pytest.mark.parametrize(
    ("objective", "without", "missing", "fix"),
    [
        (TTFT, c.TTFT, c.TTFT.bucket, "/metrics endpoint"),
        ("indicator: availability, target: 99%, window: 28d", c.FINISHED, c.FINISHED.name, "/metrics endpoint"),
        ("indicator: {goodput: {ttft: 1s}}, target: 99%, window: 28d", c.ITL, c.OBJECTIVE_REQUESTS.name, "plugin"),
    ],
)
def test_an_objective_without_any_evidence_is_an_error(
    objective: str, without: c.Metric, missing: str, fix: str
) -> None:
    (finding,) = found(spec(objective), replica(without=[without]))
    assert (finding.level, finding.code, finding.path) == ("error", "evidence-missing", "objectives[0].indicator")
    assert f"{missing} is missing" in finding.message
    assert fix in finding.fix


def tier_findings(per_hour: float, target: str = "99%") -> dict[str, tuple[str, str]]:
    """Level and code of the findings about each burn-rate alert at so many requests an hour, over a life of 1,000 hours."""
    series = replica(total=per_hour * 1000, age=1000 * HOUR)
    findings = found(spec(TTFT.replace("99%", target)), series)
    return {tier: (f.level, f.code) for f in findings for tier in TIERS if f" {tier}" in f.message}


def test_an_alert_that_cannot_see_as_many_bad_requests_as_it_needs_never_fires() -> None:
    """page-fast looks back an hour and needs 10 bad requests: with 9.999 an hour it cannot; the others look back longer."""
    never = ("warning", "alert-never-fires")
    assert tier_findings(9.999)["page-fast"] == never
    assert "page-fast" not in tier_findings(10.0)
    assert tier_findings(3 / 24 - 1e-6)["ticket-fast"] == never
    assert tier_findings(3 / 24)["ticket-fast"] != never
    assert tier_findings(0) == dict.fromkeys(TIERS, never)


def test_an_alert_that_one_bad_request_would_trip_but_for_the_minimum_is_reported() -> None:
    """At 99.9 % the fast page's threshold is 13.44 x 0.001 (28 days): one bad request of fewer than 74.4 is above it."""
    assert tier_findings(74.0, "99.9%")["page-fast"] == ("info", "alert-fires-at-minimum")
    assert "page-fast" not in tier_findings(75.0, "99.9%")


def test_the_last_hour_counts_where_it_was_watched_and_not_the_replicas_life() -> None:
    """A replica that was busy for a year and idle for the last hour is idle."""
    series = [
        Series(item.name, item.labels, [(NOW - 15 * i, item.samples[0][1]) for i in range(240, -1, -1)])
        for item in replica()
    ]
    (first, *_) = found(spec(TTFT), series)
    assert first.code == "alert-never-fires"
    assert "about 0 requests per 5m" in first.message


@pytest.mark.parametrize(
    ("retention", "tiers", "window"),
    [(28 * DAY, 0, False), (28 * DAY - 1, 0, True), (3 * DAY, 0, True), (3 * DAY - 1, 1, True), (DAY - 1, 2, True)],
)
def test_windows_are_compared_with_what_the_source_remembers(retention: float, tiers: int, window: bool) -> None:
    findings = found(spec(TTFT), replica(), retention=retention)
    assert sum((f.level, f.code) == ("error", "retention-below-alert-window") for f in findings) == tiers
    assert any(f.code == "retention-below-window" for f in findings) == window


def test_what_an_exporter_misses_on_its_engines_page_is_told() -> None:
    labels = {"collector": "engine:r1", "metric": "vllm:kv_cache_usage_perc", "instance": "n:9800"}
    (finding,) = found(spec(TTFT), replica(), [Series(c.METRIC_MISSING.name, labels, [(NOW, 1.0)])])
    assert (finding.level, finding.code) == ("warning", "engine-metric-missing")
    assert "engine:r1" in finding.message
    assert found(spec(TTFT), replica(), [Series(c.METRIC_MISSING.name, labels, [(NOW, 0.0)])]) == []

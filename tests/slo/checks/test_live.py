"""What `plimsoll check --source` finds in live numbers, on both sides of each bound: pure, by a direct scrape, by a real Prometheus."""

import pytest

from live_world import DAY, HOUR, NOW, POOL, found, replica, spec
from plimsoll.slo import metrics as c
from plimsoll.slo.checks.offline import Finding
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load

TTFT = "indicator: {time_to_first_token: 500ms}, target: 99%, window: 28d"


def test_a_busy_replica_with_every_bound_leaves_nothing_to_say() -> None:
    assert found(spec(TTFT, "indicator: availability, target: 99.9%, window: 28d"), replica(), retention=28 * DAY) == []


def test_an_objective_by_tenant_needs_a_gateway_that_tells_of_its_model_at_its_limit() -> None:
    by_tenant = spec(
        f"{TTFT}, group_by: tenant", "indicator: availability, target: 99.9%, window: 28d, group_by: tenant"
    )

    def told(*more: Series) -> list[str]:
        return [one.message for one in found(by_tenant, replica(), more, retention=28 * DAY)]

    def at(metric: str, **labels: str) -> Series:
        return Series(metric, {"gateway": "edge", "model": "m", "tenant": "acme", **labels}, [(NOW, 5.0)])

    nobody = "keeps no budget of any tenant: no gateway tells of the model m: llm_gateway_requests_total is missing"
    assert told() == [nobody, nobody]
    assert told(at(c.GATEWAY_REQUESTS.name, model="other")) == [nobody, nobody]
    (off,) = told(at(c.GATEWAY_REQUESTS.name), at(c.GATEWAY_TTFT.bucket, le="0.6"), at(c.GATEWAY_TTFT.count))
    assert off.startswith(
        "keeps no budget of any tenant: time_to_first_token <= 500ms is no bucket bound at the gateways"
    )
    assert told(at(c.GATEWAY_REQUESTS.name), at(c.GATEWAY_TTFT.bucket, le="0.5"), at(c.GATEWAY_TTFT.count)) == []


@pytest.mark.parametrize(
    ("limit", "legal"),
    [("500ms", None), ("600ms", "500ms or 750ms"), ("100ms", "250ms"), ("4s", "1s")],
)
def test_a_limit_off_bucket_is_an_error_with_the_neighbours_that_the_page_has(limit: str, legal: str | None) -> None:
    chosen = spec(TTFT.replace("500ms", limit))
    findings = found(chosen, replica())
    if legal is None:
        assert findings == []
        return
    (finding,) = findings
    assert (finding.level, finding.where) == ("error", "objective o0")
    assert (
        f"counts nothing on r1: the limit {limit} is no bucket bound there; take {legal}, or start vLLM"
        in finding.message
    )


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
    ("target", "level", "more"),
    [
        ("93%", "info", ""),
        ("93.1%", "warning", "; whether the target is kept cannot be told"),
        ("95.4%", "warning", "; whether the target is kept cannot be told"),
        ("95.5%", "info", ""),
    ],
)
def test_a_bracket_says_its_bounds_its_width_and_whether_it_holds_the_target(
    target: str, level: str, more: str
) -> None:
    within = {0.25: 1e5, 0.5: 930_000, 0.75: 954_000.0}
    (finding,) = bucket_mismatch("bounds", target=target, within=within)
    assert (finding.level, finding.where) == (level, "objective o0")
    assert finding.message == (
        "the limit 600ms lies between the bounds 500ms and 750ms on r1; bucket_mismatch: bounds counts at both: 24,000 of their lives' "
        f"1,000,000 requests (2.40%) are between, so 93.00% to 95.40% are good{more}. `plimsoll vllm-args` prints what makes the "
        "limit a bound"
    )


def test_conservative_says_what_it_may_wrong_and_a_limit_that_is_a_bound_leaves_nothing_to_say() -> None:
    (finding,) = bucket_mismatch("lower_bound", within={0.5: 930_000, 0.75: 954_000})
    assert "bucket_mismatch: lower_bound counts at 500ms: 24,000 of their lives' 1,000,000 requests" in finding.message
    assert "so 93.00% to 95.40% are good, and 93.00% is told" in finding.message
    assert bucket_mismatch("lower_bound", limit="500ms") == bucket_mismatch("bounds", limit="500ms") == []


def test_a_limit_beyond_all_bounds_can_be_bracketed_but_never_pages() -> None:
    (above,) = bucket_mismatch("bounds", limit="4s", within={1.0: 999_000})
    assert above.level == "warning"
    assert "lies above the highest bound, 1s, on r1" in above.message
    assert "99.90% to 100.00% are good; nothing is surely bad, so no page can ever come" in above.message
    (below,) = bucket_mismatch("bounds", limit="100ms", within={0.25: 500_000})
    assert "lies below the lowest bound, 250ms, on r1" in below.message
    assert "0.00% to 50.00% are good" in below.message
    (none,) = bucket_mismatch("lower_bound", limit="100ms")
    assert (none.level, "counts nothing on r1" in none.message) == ("error", True)
    assert none.message.endswith("or let bucket_mismatch say bracket")


def test_the_last_hour_tells_how_wide_a_bracket_is_where_it_was_watched() -> None:
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
    message = next(f.message for f in found(chosen, series) if "lies between" in f.message)
    assert "240 of the last hour's 480 requests (50.00%) are between, so 50.00% to 100.00% are good" in message


def test_only_the_replicas_off_bucket_are_named_and_requests_judged_in_the_engine_need_no_bound() -> None:
    chosen = spec(TTFT.replace("500ms", "600ms"))
    fine, evaluated = replica("r1", bounds=(0.6,)), replica("r3", evaluated={"o0": 1e6})
    assert found(chosen, fine, evaluated) == []
    (finding,) = found(chosen, fine, replica("r2"), evaluated)
    assert "counts nothing on r2: " in finding.message


@pytest.mark.parametrize(("age", "live"), [(300.0, True), (301.0, False)])
def test_a_pool_matches_nothing_when_no_replica_of_its_model_was_read_within_five_minutes(
    age: float, live: bool
) -> None:
    series = [Series(item.name, item.labels, [(NOW - age, item.samples[0][1])]) for item in replica()]
    errors = [(f.where, f.message) for f in found(spec(TTFT), series) if f.level == "error"]
    assert bool(errors) != live
    if not live:
        assert errors[0] == (
            "pool pool",
            "matches nothing live: no replica serves the model m; no replica at all is live",
        )
        assert errors[1] == ("objective o0", "counts nothing: its pool pool matches nothing live")


def test_a_pool_whose_model_nobody_serves_is_told_which_models_are_live() -> None:
    (first, _) = found(spec(TTFT), replica(model="m-2"))
    assert first.message == "matches nothing live: no replica serves the model m; live models are m-2"
    (unused,) = found(load(POOL + "objectives: []\n"), replica(model="m-2"))
    assert unused.level == "warning"


@pytest.mark.parametrize("metric", [c.KV_CACHE_USAGE, c.REQUESTS_RUNNING, c.REJECTED, c.ABANDONED])
def test_a_metric_that_is_missing_is_named_with_the_replicas_that_lack_it(metric: c.Metric) -> None:
    chosen = spec("indicator: availability, target: 99.9%, window: 28d")
    (finding,) = found(chosen, replica("r1"), replica("r2", without=[metric]))
    assert finding.level == "warning"
    assert finding.message.startswith(f"{metric} is missing on r2: ")
    (finding,) = found(chosen, replica("r1", without=[metric]))
    assert finding.message.startswith(f"{metric} is missing on every replica: ")
    if metric in (c.REJECTED, c.ABANDONED):
        assert found(spec(TTFT), replica("r1", without=[metric])) == []


@pytest.mark.parametrize(
    ("objective", "without", "message"),
    [
        (TTFT, c.TTFT, f"{c.TTFT.bucket} is missing there"),
        ("indicator: availability, target: 99%, window: 28d", c.FINISHED, f"{c.FINISHED} is missing there"),
        (
            "indicator: {goodput: {ttft: 1s}}, target: 99%, window: 28d",
            c.ITL,
            f"{c.OBJECTIVE_REQUESTS} is missing there, which",
        ),
    ],
)
def test_an_objective_without_any_evidence_is_an_error(objective: str, without: c.Metric, message: str) -> None:
    (finding,) = found(spec(objective), replica(without=[without]))
    assert (finding.level, finding.where) == ("error", "objective o0")
    assert message in finding.message


def tier_findings(per_hour: float, target: str = "99%") -> dict[str, tuple[str, str]]:
    """Findings of the tiers of an objective at so many requests an hour, over a life of 1,000 hours."""
    series = replica(total=per_hour * 1000, age=1000 * HOUR)
    return {f.where.rpartition(" ")[2]: (f.level, f.message) for f in found(spec(TTFT.replace("99%", target)), series)}


def test_a_tier_that_cannot_see_as_many_bad_requests_as_it_takes_never_fires() -> None:
    """page-fast looks back an hour and takes 10 bad requests: with 9.999 an hour it cannot; the others look back longer."""
    assert tier_findings(9.999)["page-fast"] == (
        "warning",
        "never fires at this traffic: about 10 requests in its 1h, and it takes at least 10 bad ones",
    )
    assert "page-fast" not in tier_findings(10.0)
    assert "never" in tier_findings(3 / 24 - 1e-6)["ticket-fast"][1]
    assert "never" not in tier_findings(3 / 24)["ticket-fast"][1]
    assert set(tier_findings(0)) == {"page-fast", "page-slow", "ticket-fast", "ticket-slow"}


def test_a_tier_that_one_bad_request_would_trip_but_for_the_least_number_is_named() -> None:
    """At 99.9 % the fast page's threshold is 13.44 x 0.001 (28 days): one bad request of fewer than 74.4 is above it."""
    assert tier_findings(74.0, "99.9%")["page-fast"] == (
        "info",
        "about 74 requests in its 1h: a single bad one burns fast enough; it fires at 10 bad ones, whatever the rate",
    )
    assert "page-fast" not in tier_findings(75.0, "99.9%")


def test_the_last_hour_counts_where_it_was_watched_and_not_the_replicas_life() -> None:
    """A replica that was busy for a year and idle for the last hour is idle."""
    series = [
        Series(item.name, item.labels, [(NOW - 15 * i, item.samples[0][1]) for i in range(240, -1, -1)])
        for item in replica()
    ]
    (first, *_) = found(spec(TTFT), series)
    assert first.message.startswith("never fires at this traffic: about 0 requests in its 1h")


@pytest.mark.parametrize(
    ("retention", "tiers", "window"),
    [(28 * DAY, 0, False), (28 * DAY - 1, 0, True), (3 * DAY, 0, True), (3 * DAY - 1, 1, True), (DAY - 1, 2, True)],
)
def test_windows_are_compared_with_what_the_source_remembers(retention: float, tiers: int, window: bool) -> None:
    findings = found(spec(TTFT), replica(), retention=retention)
    assert sum(f.level == "error" and "its rule sees only a part" in f.message for f in findings) == tiers
    assert any("the window (28d) is longer than the source remembers" in f.message for f in findings) == window


def test_what_an_exporter_misses_on_its_engines_page_is_told() -> None:
    labels = {"collector": "engine:r1", "metric": "vllm:kv_cache_usage_perc", "instance": "n:9800"}
    (finding,) = found(spec(TTFT), replica(), [Series(c.METRIC_MISSING.name, labels, [(NOW, 1.0)])])
    assert (finding.level, finding.where) == ("warning", "exporter, engine:r1")
    assert found(spec(TTFT), replica(), [Series(c.METRIC_MISSING.name, labels, [(NOW, 0.0)])]) == []

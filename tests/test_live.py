"""What `plimsoll check --source` finds in live numbers, on both sides of each bound: pure, by a direct scrape, by a real Prometheus."""

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from compose.cli import main
from slo import catalogue as c
from slo.findings import Finding
from slo.live import Live, live_findings
from slo.sources import Series
from slo.spec import Spec, load
from stack import Prometheus, scrape, wait_for
from world import SPEC_TEXT

NOW = 1_700_000_000.0
HOUR, DAY = 3600.0, 86400.0
BOUNDS = (0.25, 0.5, 0.75, 1.0)
POOL = SPEC_TEXT.partition("objectives:")[0]


def spec(*objectives: str) -> Spec:
    """One pool of model m with objectives as YAML says them after their id and pool."""
    lines = [f"  - {{id: o{number}, pool: pool, {text}}}" for number, text in enumerate(objectives)]
    return load(POOL + "objectives:\n" + "\n".join(lines))


TTFT = "indicator: {time_to_first_token: 500ms}, target: 99%, window: 28d"


def replica(
    name: str = "r1",
    *,
    total: float = 1e6,
    age: float = 1e6,
    model: str = "m",
    bounds: Sequence[float] = BOUNDS,
    judged: Mapping[str, float] | None = None,
    without: Sequence[c.Metric] = (),
    now: float = NOW,
) -> list[Series]:
    """One replica's page as it stood at a moment: `total` requests in the `age` seconds of its life, all of them good."""
    mine = {"replica": name, "model": model, "engine": "vllm"}
    found = [
        (c.REPLICA_START, "", {}, now - age),
        (c.TTFT, "_count", {}, total),
        (c.FINISHED, "", {"reason": "stop"}, total),
    ]
    found += [(metric, "", {}, 1.0) for metric in (c.REQUESTS_RUNNING, c.REQUESTS_WAITING, c.KV_CACHE_USAGE)]
    found += [(metric, "", {}, 1.0) for metric in (c.PROMPT_TOKENS, c.GENERATION_TOKENS, c.REJECTED)]
    found += [(c.ABANDONED, "", {"stage": "queued"}, 0.0)]
    found += [(c.TTFT, "_bucket", {"le": c.bucket_bound(bound)}, total) for bound in (*bounds, float("inf"))]
    for objective, number in (judged or {}).items():
        found += [(c.OBJECTIVE_REQUESTS, "", {"objective": objective, "outcome": "good"}, number)]
        found += [(c.OBJECTIVE_REQUESTS, "", {"objective": objective, "outcome": "bad"}, 0.0)]
    return [
        Series(f"{metric}{suffix}", {**mine, **labels}, [(now, value)])
        for metric, suffix, labels, value in found
        if metric not in without
    ]


def found(spec: Spec, *series: Sequence[Series], retention: float | None = None) -> list[Finding]:
    return live_findings(spec, Live([item for group in series for item in group], NOW, retention))


def test_a_busy_replica_with_every_bound_leaves_nothing_to_say() -> None:
    assert found(spec(TTFT, "indicator: availability, target: 99.9%, window: 28d"), replica(), retention=28 * DAY) == []


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


def test_only_the_replicas_off_bucket_are_named_and_requests_judged_in_the_engine_need_no_bound() -> None:
    chosen = spec(TTFT.replace("500ms", "600ms"))
    fine, judged = replica("r1", bounds=(0.6,)), replica("r3", judged={"o0": 1e6})
    assert found(chosen, fine, judged) == []
    (finding,) = found(chosen, fine, replica("r2"), judged)
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


@contextmanager
def exporter(series: Sequence[Series]) -> Iterator[str]:
    """A metrics page on loopback; gives HOST:PORT."""
    text = ""
    for item in series:
        labels = ",".join(f'{name}="{value}"' for name, value in item.labels.items())
        text += f"{item.name}{{{labels}}} {item.samples[-1][1]!r}\n"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


OFF = (
    POOL
    + """objectives:
  - {id: fine, pool: pool, indicator: {time_to_first_token: 500ms}, target: 99%, window: 28d}
  - {id: loose, pool: pool, indicator: {time_to_first_token: 600ms}, target: 99%, window: 28d}
  - {id: rare, pool: pool, indicator: {goodput: {ttft: 1s}}, target: 99%, window: 28d}
"""
)


def checked(capsys: pytest.CaptureFixture[str], file: Path, source: str) -> tuple[int, dict[tuple[str, str], str]]:
    capsys.readouterr()
    status = main(["check", "--objectives", str(file), "--source", source, "--json"])
    said = capsys.readouterr()
    assert said.err == ""
    listed = json.loads(said.out)
    return status, {(item["level"], item["where"]): item["message"] for item in listed if "bad:" not in item["message"]}


def pages() -> list[Series]:
    """Two replicas an hour and more old; the second judges few requests."""
    now = time.time()
    first = replica("r1", age=5 * HOUR, judged={"rare": 3.0}, now=now)
    return first + replica("r2", age=5 * HOUR, judged={"rare": 0.0}, without=[c.KV_CACHE_USAGE], now=now)


EXPECTED = {
    ("error", "objective loose"): "the limit 600ms is no bucket bound there; take 500ms or 750ms",
    ("warning", "pool pool"): "llm_kv_cache_usage_ratio is missing on r2",
    ("warning", "objective rare, tier page-fast"): "never fires at this traffic: about 0.6 requests in its 1h",
    ("warning", "objective rare, tier page-slow"): "never fires at this traffic: about 3.6 requests in its 6h",
    ("info", "objective rare, tier ticket-fast"): "about 14.4 requests in its 1d: a single bad one",
}


def agrees(listed: dict[tuple[str, str], str], more: int = 0) -> None:
    for key, message in EXPECTED.items():
        assert message in listed.get(key, ""), key
    assert len([key for key in listed if "ticket-slow" not in key[1]]) == len(EXPECTED) + more, listed


def test_a_direct_scrape_gives_the_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "objectives.yaml"
    file.write_text(OFF)
    with exporter(pages()) as address:
        status, listed = checked(capsys, file, f"scrape:http://{address}")
        assert status == 1
        agrees(listed)
        status, listed = checked(capsys, file, f"scrape:http://{address},http://127.0.0.1:9")
        agrees(listed, more=1)
        assert "http://127.0.0.1:9/metrics: no answer" in listed["error", "source"]
        file.write_text(OFF.replace("600ms", "750ms").replace("goodput: {ttft: 1s}", "time_to_first_token: 1s"))
        assert checked(capsys, file, f"scrape:http://{address}")[0] == 0
    assert main(["check", "--objectives", str(file), "--source", "prometheus:http://127.0.0.1:9"]) == 2
    assert "--source prometheus:http://127.0.0.1:9: http://127.0.0.1:9: no answer" in capsys.readouterr().err
    assert main(["check", "--objectives", str(file), "--source", "ftp://x"]) == 2


@pytest.mark.prometheus
def test_a_real_prometheus_gives_the_same_findings_and_its_retention(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "objectives.yaml"
    file.write_text(OFF)
    with exporter(pages()) as address:
        server = Prometheus(scrape("exporter", address))
        arguments = server.arguments
        for kept, lost_tiers in (("3d", 0), ("2d", 3)):
            server.arguments = lambda kept=kept: [*arguments(), f"--storage.tsdb.retention.time={kept}"]  # type: ignore[method-assign,misc]
            server.start()
            wait_for(lambda: server.query(f'{c.TTFT.count}{{replica="r2"}}'), "a scrape")
            status, listed = checked(capsys, file, f"prometheus:{server.url}")
            windows = [
                key for key, message in listed.items() if f"longer than the source remembers ({kept})" in message
            ]
            blind = [key for key, message in listed.items() if f"and the source remembers {kept}" in message]
            assert (status, len(windows), len(blind)) == (1, 3, lost_tiers)
            agrees({key: message for key, message in listed.items() if key not in windows + blind})
            server.stop()
        server.__exit__()

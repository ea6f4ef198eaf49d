"""`plimsoll check --source`: the same findings by a direct scrape and from a real Prometheus, whose retention is compared too."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from http_server import Quiet, listening
from live_world import HOUR, POOL, replica
from plimsoll.compose.cli import main
from plimsoll.slo import metrics as c
from plimsoll.slo.sources import Series
from stack import Prometheus, scrape, wait_for


@contextmanager
def exporter(series: Sequence[Series]) -> Iterator[str]:
    """A metrics page on loopback; gives HOST:PORT."""
    text = ""
    for item in series:
        labels = ",".join(f'{name}="{value}"' for name, value in item.labels.items())
        text += f"{item.name}{{{labels}}} {item.samples[-1][1]!r}\n"

    class Handler(Quiet):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

    with listening(Handler) as address:
        yield address


OFF = (
    POOL
    + """objectives:
  - {id: fine, pool: pool, indicator: {time_to_first_token: 500ms}, target: 99%, window: 28d}
  - {id: loose, pool: pool, indicator: {time_to_first_token: 600ms}, target: 99%, window: 28d}
  - {id: rare, pool: pool, indicator: {goodput: {ttft: 1s}}, target: 99%, window: 28d}
"""
)


Listed = list[tuple[str, str, str, str]]  # level, code, path, message


def checked(capsys: pytest.CaptureFixture[str], file: Path, source: str) -> tuple[int, Listed]:
    capsys.readouterr()
    status = main(["check", "--objectives", str(file), "--source", source, "--json"])
    printed = capsys.readouterr()
    assert printed.err == ""
    listed = json.loads(printed.out)
    assert all(set(item) == {"level", "code", "path", "message", "fix"} for item in listed)
    fields = ("level", "code", "path", "message")
    return status, [tuple(item[f] for f in fields) for item in listed if item["code"] != "detection-time"]


def pages() -> list[Series]:
    """Two replicas an hour and more old; the second evaluates few requests."""
    now = time.time()
    first = replica("r1", age=5 * HOUR, evaluated={"rare": 3.0}, now=now)
    return first + replica("r2", age=5 * HOUR, evaluated={"rare": 0.0}, without=[c.KV_CACHE_USAGE], now=now)


EXPECTED = [
    ("error", "threshold-not-a-bound", "objectives[1].indicator", "(nearest: 500ms, 750ms)"),
    ("warning", "metric-missing", "pools[0]", "llm_kv_cache_usage_ratio is missing on r2"),
    ("warning", "alert-never-fires", "objectives[2]", "about 0.05 requests per 5m: outage"),
    ("warning", "alert-never-fires", "objectives[2]", "about 0.6 requests per 1h: page-fast"),
    ("warning", "alert-never-fires", "objectives[2]", "about 3.6 requests per 6h: page-slow"),
    ("info", "alert-fires-at-minimum", "objectives[2]", "about 14.4 requests per 1d: one bad request"),
]


def agrees(listed: Listed, more: int = 0) -> None:
    for level, code, path, part in EXPECTED:
        assert any(item[:3] == (level, code, path) and part in item[3] for item in listed), (code, part)
    assert len([item for item in listed if "ticket-slow" not in item[3]]) == len(EXPECTED) + more, listed


def test_a_direct_scrape_gives_the_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "objectives.yaml"
    file.write_text(OFF)
    with exporter(pages()) as address:
        status, listed = checked(capsys, file, f"scrape:http://{address}")
        assert status == 1
        agrees(listed)
        status, listed = checked(capsys, file, f"scrape:http://{address},http://127.0.0.1:9")
        agrees(listed, more=1)
        (lost,) = (item for item in listed if item[1] == "source-unavailable")
        assert (lost[0], lost[2]) == ("error", "source")
        assert "http://127.0.0.1:9/metrics" in lost[3]
        file.write_text(OFF.replace("600ms", "750ms").replace("goodput: {ttft: 1s}", "time_to_first_token: 1s"))
        assert checked(capsys, file, f"scrape:http://{address}")[0] == 0
    assert main(["check", "--objectives", str(file), "--source", "prometheus:http://127.0.0.1:9"]) == 2
    assert "--source prometheus:http://127.0.0.1:9: http://127.0.0.1:9: no response" in capsys.readouterr().err
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
            late = {"retention-below-window": 3, "retention-below-alert-window": lost_tiers}
            assert (status, {code: sum(item[1] == code for item in listed) for code in late}) == (1, late)
            assert all(kept in item[3] for item in listed if item[1] in late)
            agrees([item for item in listed if item[1] not in late])
            server.stop()
        server.__exit__()

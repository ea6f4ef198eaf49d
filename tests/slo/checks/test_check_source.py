"""`plimsoll check --source`: the same findings by a direct scrape and from a real Prometheus, whose retention is compared too."""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

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
    """Two replicas an hour and more old; the second evaluates few requests."""
    now = time.time()
    first = replica("r1", age=5 * HOUR, evaluated={"rare": 3.0}, now=now)
    return first + replica("r2", age=5 * HOUR, evaluated={"rare": 0.0}, without=[c.KV_CACHE_USAGE], now=now)


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

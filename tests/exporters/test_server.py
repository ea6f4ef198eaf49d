"""The exporter over HTTP."""

import gzip
import math
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from exporter_server import make_certificate
from plimsoll.compose.listen import EXPORTER_TOKEN, ListenError, open_socket, read_token
from plimsoll.exporters.collector import Point
from plimsoll.exporters.runner import Runner
from plimsoll.exporters.server import (
    DEFAULT_TIME_LIMIT,
    MAX_REQUESTS,
    MAX_TIME_LIMIT,
    Tls,
    config_of,
    create_app,
    time_limit,
)
from plimsoll.slo import metrics
from stack import wait_for


class Gpus:
    """A collector of a hundred GPUs that notes the deadline it was given, and waits where it is told to."""

    name = "gpus"
    fallback = ()

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()
        self.time_limit = math.nan

    def collect(self, deadline: float) -> Iterable[Point]:
        self.time_limit = deadline - time.monotonic()
        self.asked.set()
        self.open.wait(60)
        return [Point(metrics.GPU_UP, {"uuid": f"GPU-{number}"}, 1) for number in range(100)]


@contextmanager
def served(collector: Gpus, token: str | None = None, tls: Tls | None = None) -> Iterator[httpx.Client]:
    """The app behind a real server on a free port, and a client that trusts its certificate alone."""
    with open_socket("127.0.0.1", 0, None, EXPORTER_TOKEN) as listening:
        server = uvicorn.Server(config_of(create_app(Runner([collector]), token), tls))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_for(lambda: server.started, "the server to start")
            url = f"{'https' if tls else 'http'}://127.0.0.1:{listening.getsockname()[1]}"
            trusted = ssl.create_default_context(cafile=tls.certificate) if tls else True
            with httpx.Client(base_url=url, trust_env=False, verify=trusted) as client:
                yield client
        finally:
            collector.open.set()
            server.should_exit = True
            thread.join(30)


def test_the_page_is_negotiated() -> None:
    with served(Gpus()) as client:
        plain = client.get("/metrics", headers={"accept": "text/plain"})
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert 'gpu_up{uuid="GPU-99"} 1.0' in plain.text
        openmetrics = client.get("/metrics", headers={"accept": "application/openmetrics-text;version=1.0.0"})
        assert openmetrics.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        assert openmetrics.text.endswith("# EOF\n")


def test_the_page_is_compressed_for_those_who_take_it() -> None:
    with (
        served(Gpus()) as client,
        client.stream("GET", "/metrics", headers={"accept-encoding": "gzip"}) as response,
    ):
        assert response.headers["content-encoding"] == "gzip"
        assert b"GPU-99" in gzip.decompress(b"".join(response.iter_raw()))
    with served(Gpus()) as client:
        assert "content-encoding" not in client.get("/metrics", headers={"accept-encoding": "identity"}).headers


def test_the_scrapers_own_timeout_reaches_the_collectors() -> None:
    gpus = Gpus()
    with served(gpus) as client:
        client.get("/metrics", headers={"X-Prometheus-Scrape-Timeout-Seconds": "30"})
        assert 20 < gpus.time_limit <= 29.5
        client.get("/metrics")
        assert 0 < gpus.time_limit <= DEFAULT_TIME_LIMIT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("10", 9.5),
        ("1", 0.5),
        ("0.4", 0.2),
        ("100000", MAX_TIME_LIMIT),
        *((broken, DEFAULT_TIME_LIMIT) for broken in (None, "", "soon", "nan", "inf", "-3", "0")),
    ],
)
def test_patience_leaves_time_for_the_way_back_and_survives_any_header(header: str | None, seconds: float) -> None:
    assert time_limit(header) == pytest.approx(seconds)


def test_probes_answer_while_a_scrape_waits() -> None:
    gpus = Gpus()
    gpus.open.clear()
    with served(gpus) as client:
        scraper = threading.Thread(target=lambda: client.get("/metrics", timeout=60))
        scraper.start()
        assert gpus.asked.wait(10)
        for path in ("/-/healthy", "/-/ready"):
            assert client.get(path, timeout=60).status_code == 200
        assert scraper.is_alive()
        gpus.open.set()
        scraper.join(30)


def test_the_landing_page_leads_to_the_metrics() -> None:
    with served(Gpus()) as client:
        assert 'href="metrics"' in client.get("/").text
        assert client.get("/else").status_code == 404


def test_with_a_token_only_its_holder_reads_and_probes_stay_open() -> None:
    with served(Gpus(), token="s3cret") as client:
        for path in ("/metrics", "/", "/else"):
            rejected = client.get(path)
            assert (rejected.status_code, rejected.headers["www-authenticate"].split()[0]) == (401, "Bearer,")
            assert "gpu_up" not in rejected.text
        for wrong in ("Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret", "Bearer", "Bearer \xe9"):
            assert client.get("/metrics", headers={b"authorization": wrong.encode("latin-1")}).status_code == 401
        assert client.get("/metrics", headers={"authorization": "Bearer s3cret"}).status_code == 200
        assert client.get("/-/healthy").status_code == 200


def test_the_token_may_be_a_password() -> None:
    with served(Gpus(), token="s3c:ret") as client:
        for wrong in (("", ""), ("s3c:ret", ""), ("any", "s3c"), ("any", "s3c:ret ")):
            assert client.get("/metrics", auth=wrong).status_code == 401
        for broken in ("Basic s3c:ret", "Basic ====", "Basic \xe9", "Basic"):
            assert client.get("/metrics", headers={b"authorization": broken.encode("latin-1")}).status_code == 401
        assert client.get("/metrics", auth=("any", "s3c:ret")).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "gpu-1", "127.0.0.1.evil.example:9800"])
def test_without_a_token_a_page_that_took_over_a_name_reads_nothing(host: str) -> None:
    with served(Gpus()) as client:
        for path in ("/metrics", "/"):
            answer = client.get(path, headers={"host": host})
            assert (answer.status_code, "gpu_up" in answer.text) == (421, False)
            assert client.get(path, headers={"host": "10.0.0.5:9800"}).status_code == 200
        assert client.get("/-/healthy", headers={"host": host}).status_code == 200
    with served(Gpus(), token="s3cret") as client:
        named = {"host": host, "authorization": "Bearer s3cret"}
        assert client.get("/metrics", headers=named).status_code == 200


def test_there_are_no_other_paths_and_nothing_to_change() -> None:
    with served(Gpus()) as client:
        for path in ("/metrics/", "/metrics/../etc/passwd", "/%2e%2e/", "/docs", "/openapi.json", "/-/else"):
            assert client.get(path, follow_redirects=False).status_code in (404, 307), path
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert client.request(method, "/metrics", content=b"x" * 2**16).status_code == 405
        assert client.head("/metrics").status_code == 200


def test_so_many_scrapes_at_a_time_and_no_more() -> None:
    gpus = Gpus()
    with served(gpus) as client:
        gpus.open.clear()
        codes: list[int] = []
        wait_at_once = threading.Barrier(MAX_REQUESTS + 1)

        def scrape() -> None:
            wait_at_once.wait(60)
            codes.append(client.get("/metrics", timeout=60).status_code)

        scrapers = [threading.Thread(target=scrape) for _ in range(MAX_REQUESTS)]
        for scraper in scrapers:
            scraper.start()
        wait_at_once.wait(60)
        # As soon as all are in, one more is rejected; until then it waits its turn like the others.
        early = 0
        while _code(client) != 503:
            early += 1
        assert client.get("/-/healthy", timeout=60).status_code == 200
        gpus.open.set()
        for scraper in scrapers:
            scraper.join(60)
        assert sorted(set(codes)) in ([200], [200, 503]) and codes.count(503) <= early
        assert client.get("/metrics").status_code == 200


def _code(client: httpx.Client) -> int:
    try:
        return client.get("/metrics", timeout=0.5).status_code
    except httpx.ReadTimeout:
        return 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """A certificate for 127.0.0.1 that signs itself."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_the_page_is_served_by_tls_and_by_nothing_else(certificate: Tls) -> None:
    with served(Gpus(), token="s3cret", tls=certificate) as client:
        assert "gpu_up" in client.get("/metrics", headers={"authorization": "Bearer s3cret"}).text
        assert client.get("/metrics").status_code == 401
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(f"{client.base_url}/metrics", trust_env=False)
        with pytest.raises(httpx.TransportError):
            httpx.get(str(client.base_url).replace("https", "http"), trust_env=False)


def test_a_silent_connection_holds_up_nobody(certificate: Tls) -> None:
    with served(Gpus(), tls=certificate) as client:
        address = (client.base_url.host, client.base_url.port)
        silent = [socket.create_connection(address) for _ in range(50)]
        try:
            assert client.get("/metrics", timeout=30).status_code == 200
        finally:
            for connection in silent:
                connection.close()


def test_only_loopback_may_be_open() -> None:
    for host in ("127.0.0.1", "localhost"):
        open_socket(host, 0, None, EXPORTER_TOKEN).close()
    for host in ("0.0.0.0", "::", "example.org"):
        with pytest.raises(ListenError, match="PLIMSOLL_EXPORTER_TOKEN"):
            open_socket(host, 0, None, EXPORTER_TOKEN)
    open_socket("0.0.0.0", 0, "s3cret", EXPORTER_TOKEN).close()


def test_answers_are_not_held_back_for_the_scrapers_ack() -> None:
    with (
        open_socket("127.0.0.1", 0, None, EXPORTER_TOKEN) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"127.0.0.1:{port}: Address already in use"):
            open_socket("127.0.0.1", port, None, EXPORTER_TOKEN)


def test_the_token_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text("from-file\n")
    assert read_token({}, EXPORTER_TOKEN) is None
    assert read_token({"PLIMSOLL_EXPORTER_TOKEN": ""}, EXPORTER_TOKEN) is None
    assert (
        read_token({"PLIMSOLL_EXPORTER_TOKEN": "direct", "PLIMSOLL_EXPORTER_TOKEN_FILE": str(file)}, EXPORTER_TOKEN)
        == "direct"
    )
    assert read_token({"PLIMSOLL_EXPORTER_TOKEN_FILE": str(file)}, EXPORTER_TOKEN) == "from-file"


def test_a_token_file_that_gives_none_is_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch(0o600)
    empty.write_text("\n")
    for path, word in ((empty, "empty"), (tmp_path / "absent", "not readable")):
        with pytest.raises(ListenError, match=word):
            read_token({"PLIMSOLL_EXPORTER_TOKEN_FILE": str(path)}, EXPORTER_TOKEN)

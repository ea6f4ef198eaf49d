"""What isn't a whole, complete answer of the Prometheus API is none: an error in one line, within a deadline, and nothing is counted."""

import gzip
import json
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from each_case import each_case
from engine_pages import Answer, drip, fixed, http, server
from faulty_api import Body, FaultyApi, half
from ledger_world import END, T0, WORLD, rows
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import REPLICA_START
from plimsoll.slo.sources import SourceError, prometheus
from plimsoll.slo.sources.prometheus import PrometheusSource
from plimsoll.slo.sources.selector import Selector
from stack import free_port
from stored_world import stored_in_prometheus
from world import spec

Opener = Callable[[str], Ledger]
STARTS = [Selector(REPLICA_START.name)]
EMPTY = '{"status":"success","data":{"resultType":"matrix","result":[]}}'


def ask(url: str) -> list[object]:
    with closing(PrometheusSource(url)) as source:
        return list(source.series(STARTS, T0, END))


def refused(url: str) -> str:
    """The error in one line, which names the server."""
    with pytest.raises(SourceError) as raised:
        ask(url)
    message = str(raised.value)
    assert message.startswith(f"{url}: ") and message.isprintable() and len(message) < 600, message
    return message


def answer(**more: object) -> Answer:
    return fixed(json.dumps(json.loads(EMPTY) | more))


@each_case(
    {
        "warnings": (answer(warnings=["store 10.0.0.2:10901 unavailable"]), "store 10.0.0.2:10901 unavailable"),
        "a warning of PromQL": (answer(warnings=["PromQL warning: mixed"]), "PromQL warning"),
        "a warning beside a remark": (answer(warnings=["PromQL info: x", "a store is away"]), "a store is away"),
        "isPartial": (answer(isPartial=True), "isPartial"),
        "no data": (fixed('{"status":"success"}'), "HTTP 200"),
        "a result that is null": (fixed(EMPTY.replace("[]", "null")), "HTTP 200"),
        "a scalar": (fixed(EMPTY.replace("matrix", "scalar").replace("[]", '[1,"2"]')), "no matrix"),
        "a vector": (fixed(EMPTY.replace("matrix", "vector")), "no matrix"),
        "samples of another kind": (fixed(EMPTY.replace("[]", '[{"metric":{},"values":[[1,2,3]]}]')), "HTTP 200"),
        "a list": (fixed("[]"), "HTTP 200"),
        "nested without end": (fixed("[" * 200_000), "HTTP 200"),
        "half a body": (fixed(EMPTY[:40]), "HTTP 200"),
        "an empty body": (fixed(""), "empty"),
        "a page to log in": (fixed("<html><title>Sign in</title>"), "<html><title>Sign in</title>"),
        "not text": (fixed(b"\xff\xfe\x00\x1b[2J\n"), "HTTP 200"),
        "a gateway's error": (fixed("<html>\nBad gateway", "502 Bad Gateway"), "HTTP 502"),
        "an error that is well-formed": (
            fixed('{"status":"error","error":"too many\\nsamples"}', "422 Unprocessable"),
            "(422): too many samples",
        ),
        "a redirect": (fixed("", "302 Found", "Location: http://127.0.0.1:9/"), "HTTP 302"),
        "a success with the wrong status": (fixed(EMPTY, "500 Oops"), "(500)"),
        "a compression not asked for": (fixed(EMPTY, "200 OK", "Content-Encoding: br"), "compressed"),
        "gzip that ends early": (
            fixed(gzip.compress(EMPTY.encode())[:-9], "200 OK", "Content-Encoding: gzip"),
            "isn't complete",
        ),
        "fewer bytes than announced": (
            lambda connection, *_: connection.sendall(http(EMPTY.encode())[:-5]),
            "no response from the Prometheus API",
        ),
    }.items()
)
def test_what_is_not_a_complete_answer_is_an_error_in_one_line(case: tuple[Answer, str]) -> None:
    given, part = case
    with server(given) as url:
        assert part in refused(url)


@each_case(
    {
        "nothing": answer(),
        "a single VictoriaMetrics": answer(isPartial=False, stats={"seriesFetched": "0"}, trace={}),
        "remarks of Prometheus 3": answer(infos=["PromQL info: metric might not be a counter"]),
        "remarks of Prometheus 2.50": answer(warnings=["PromQL info: metric might not be a counter"]),
        "empty lists": answer(warnings=[], infos=[]),
        "compressed": fixed(gzip.compress(EMPTY.encode()), "200 OK", "Content-Encoding: gzip"),
        "a series of native histograms only": fixed(EMPTY.replace("[]", '[{"metric":{"a":"b"},"histograms":[]}]')),
    }.items()
)
def test_what_is_complete_is_an_answer(case: Answer) -> None:
    with server(case) as url:
        assert ask(url) == []


def test_a_sample_that_is_no_number_is_absent() -> None:
    values = [[T0 + 10, "1"], [T0 + 20, "NaN"], [T0 + 30, "x"], [T0 + 40, "+Inf"]]
    body = EMPTY.replace("[]", json.dumps([{"metric": {"__name__": "a", "b": "c"}, "values": values}]))
    with server(fixed(body)) as url:
        assert ask(url) == [("a", {"b": "c"}, [(T0 + 10, 1.0), (T0 + 40, float("inf"))])]


@pytest.mark.parametrize(
    "case",
    [
        drip(b""),
        drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
        drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
        lambda _connection, _path, stop: stop.wait(60),
    ],
    ids=["nothing", "half a head", "half a body", "silence"],
)
def test_a_server_that_never_ends_its_answer_is_given_up(case: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "QUERY_SECONDS", 0.3)
    with server(case) as url:
        assert "no complete response within 0.3 s" in refused(url)
        with closing(PrometheusSource(url)) as source:
            assert source.retention() is None
            with pytest.raises(SourceError, match="no complete response"):
                source.earliest(T0, END)


def test_many_slow_answers_end_at_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "SERIES_SECONDS", 0.5)
    api = FaultyApi("")
    api.raw, api.delay = (200, EMPTY.encode()), 0.05
    with api.served() as url, closing(PrometheusSource(url)) as source:
        with pytest.raises(SourceError, match=r"0\.5 s together|no complete response"):
            source.series(STARTS * 1000, T0, END)
        assert 0 < len(api.paths) <= 11  # as many as fit


@pytest.mark.parametrize("compressed", [True, False])
def test_an_answer_without_end_is_held_to_its_limit_only(compressed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "LIMIT_BYTES", 2**20)
    zeros = gzip.compress(bytes(2**28)) if compressed else bytes(2**24)
    given = http(zeros, "200 OK", *(["Content-Encoding: gzip"] if compressed else []))
    with server(lambda connection, *_: connection.sendall(given)) as url:
        tracemalloc.start()
        try:
            assert "larger than 1 MiB" in refused(url)
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        finally:
            tracemalloc.stop()


def test_a_complete_answer_is_asked_for_below_any_path() -> None:
    api = FaultyApi("")
    api.raw = 200, EMPTY.encode()
    with api.served() as url:
        for root in ("", "/", "/prometheus", "/select/0/prometheus/"):
            assert ask(f"{url}{root}") == []
    assert api.paths == ["/api/v1/query"] * 2 + ["/prometheus/api/v1/query", "/select/0/prometheus/api/v1/query"]
    wanted = {"partial_response": "false", "deny_partial_response": "1", "max_source_resolution": "0s"}
    assert all(wanted.items() <= form.items() for form in api.forms)


@pytest.fixture(scope="module")
def api() -> Iterator[FaultyApi]:
    running = stored_in_prometheus(WORLD.all_series())
    yield FaultyApi(running.url)
    running.__exit__()


def lost(body: Body) -> Body:
    return half(body, warnings=["partial response: store 10.0.0.2:10901 unavailable"])


@pytest.mark.prometheus
def test_what_was_recorded_stays_while_a_store_answers_half_and_goes_on_after(
    api: FaultyApi, tmp_path: Path, open_ledger: Opener
) -> None:
    truth, ledger = open_ledger(f"sqlite:///{tmp_path}/truth.db"), open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ingest(spec(), WORLD, truth, END)
    faults: list[Callable[[Body], Body]] = [lost, lambda body: half(body, isPartial=True)]
    with api.served() as url, closing(PrometheusSource(url)) as source:
        ingest(spec(), source, ledger, END - 1200)
        before = rows(ledger)
        for api.change in faults:
            with pytest.raises(SourceError, match="incomplete response"):
                ingest(spec(), source, ledger, END)
            assert rows(ledger) == before
        for api.raw in [(503, b"<html>down</html>"), (200, b"{}")]:
            with pytest.raises(SourceError, match=f"HTTP {api.raw[0]}"):
                ingest(spec(), source, ledger, END)
            assert rows(ledger) == before
        api.change = api.raw = None
        ingest(spec(), source, ledger, END)
    assert rows(ledger) == rows(truth)
    assert rows(ledger) != before


def test_nobody_there_is_said() -> None:
    assert "no response from the Prometheus API" in refused(f"http://127.0.0.1:{free_port()}")

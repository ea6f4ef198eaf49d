"""Targets that the service scrapes itself: each one alone bears what it sends, and the stored samples follow the transaction."""

import gzip
import math
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, event

from each_case import each_case
from engine_pages import Answer, drip, fixed, http, server
from plimsoll.slo.ledger import scrape_source
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import GENERATION_TOKENS, REPLICA_START
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import SourceError
from plimsoll.slo.sources.metrics_page import LIMIT_BYTES, samples
from plimsoll.slo.sources.selector import Selector
from stack import free_port, wait_for
from world import spec

Opener = Callable[[str], Ledger]
COUNTER, START = GENERATION_TOKENS.name, REPLICA_START.name
NOW = 1_700_000_000.0
WANTED = [Selector(COUNTER), Selector(START)]


def page(replica: str, value: object = 7) -> str:
    return f'# TYPE {COUNTER} counter\n{COUNTER}{{replica="{replica}"}} {value}\n{START}{{replica="{replica}"}} 1.5\nother 1\n'


def endless(connection: object, _path: str, stop: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")  # type: ignore[attr-defined]
    while not stop.is_set():
        connection.sendall(b"a 1\n" * 2**14)  # type: ignore[attr-defined]


def closing_cuts(body: str) -> Answer:
    return lambda connection, *_: connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + body.encode())


BOMB = gzip.compress(bytes(2**28))
HOSTILE: dict[str, Answer] = {
    "drips nothing": drip(b""),
    "drips a head": drip(b"HTTP/1.1 200 OK\r\nX-Slow: "),
    "drips a body": drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"),
    "a value that is none": fixed(page("bad", "many")),
    "a line without a value": fixed(f"{page('bad')}{COUNTER}\n"),
    "a label that doesn't end": fixed(f'{page("bad")}{COUNTER}{{replica="x 1\n'),
    "a page to log in": fixed("<html>Sign in</html>\n"),
    "a bomb": lambda connection, *_: connection.sendall(http(BOMB, "200 OK", "Content-Encoding: gzip")),
    "a page without end": endless,
    "too many lines": fixed("a 1\n" * 100_002),
    "too many series": fixed("".join(f'{COUNTER}{{replica="{i}"}} 1\n' for i in range(20_001))),
    "a line of a megabyte": fixed(f'{COUNTER}{{replica="{"x" * 2**20}"}} 1\n'),
    "a redirect": fixed(page("bad"), "302 Found", "Location: /metrics"),
    "an error": fixed(page("bad"), "500 Oops"),
    "no text": fixed(b"\xff\xfe\n"),
    "cut within a line": closing_cuts(page("bad") + START),
    "fewer bytes than announced": lambda connection, *_: connection.sendall(http(page("bad").encode())[:-5]),
}


REASONS = {
    "drips nothing": "within 3 s",
    "drips a body": "within 3 s",
    "a page to log in": "<html>Sign in",
    "a bomb": "larger than 8 MiB",
    "a page without end": "larger than 8 MiB",
    "a redirect": "HTTP 302",
    "an error": "HTTP 500",
    "cut within a line": "middle of a line",
}


@contextmanager
def opened(answers: Sequence[Answer], engine: Engine, more: Sequence[str] = ()) -> Iterator[ScrapeSource]:
    """A source of one target per answer, on engines' addresses."""
    with ExitStack() as stack:
        urls = [stack.enter_context(server(answer)) for answer in answers]
        source = ScrapeSource([*urls, *more], engine, WANTED, clock=lambda: NOW)
        yield stack.enter_context(closing(source))


def stored(source: ScrapeSource) -> dict[tuple[str, str], float]:
    return {(item.name, item.labels["replica"]): item.samples[-1][1] for item in source.series(WANTED, NOW - 60, NOW)}


WHOLE = {(COUNTER, "good"): 7.0, (START, "good"): 1.5}


def test_what_a_target_sends_costs_its_own_samples_only_and_is_named(
    database: str, open_ledger: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape_source, "SCRAPE_SECONDS", 3.0)
    engine = open_ledger(database).engine
    absent = f"http://127.0.0.1:{free_port()}"
    tracemalloc.start()
    try:
        with opened([*HOSTILE.values(), fixed(page("good"))], engine, [absent]) as source:
            source.scrape()
            *named, refused = source.problems
            assert stored(source) == WHOLE
        assert tracemalloc.get_traced_memory()[1] < 80 * 2**20
    finally:
        tracemalloc.stop()
    assert len(named) == len(HOSTILE), named
    assert refused.startswith(f"{absent}/metrics: no answer: ")
    assert all("/metrics: " in problem and problem.isprintable() and len(problem) < 300 for problem in source.problems)
    by_name = dict(zip(HOSTILE, named, strict=True))
    assert all(part in by_name[name] for name, part in REASONS.items()), by_name


def test_a_slow_target_delays_nobody(tmp_path_factory: pytest.TempPathFactory, open_ledger: Opener) -> None:
    engine = open_ledger(f"sqlite:///{tmp_path_factory.mktemp('slow')}/ledger.db").engine
    seen = threading.Event()

    def waits(connection: object, _path: str, stop: threading.Event) -> None:
        """Answers only once the other target's samples are stored."""
        if seen.wait(3):
            connection.sendall(http(page("slow").encode()))  # type: ignore[attr-defined]

    with opened([waits, fixed(page("good"))], engine) as source:
        scraping = threading.Thread(target=source.scrape)
        scraping.start()
        wait_for(lambda: stored(source) == WHOLE, "the other target's samples")
        seen.set()
        scraping.join()
        assert stored(source) == WHOLE | {(COUNTER, "slow"): 7.0, (START, "slow"): 1.5}
        assert source.problems == ()


def test_a_page_that_ends_by_closing_is_read(database: str, open_ledger: Opener) -> None:
    with opened([closing_cuts(page("good"))], open_ledger(database).engine) as source:
        source.scrape()
        assert stored(source) == WHOLE


def test_nan_is_absent_and_infinity_is_kept_as_prometheus_keeps_it(database: str, open_ledger: Opener) -> None:
    text = page("good") + page("nan", "NaN") + page("inf", "+Inf")
    with opened([fixed(text)], open_ledger(database).engine) as source:
        source.scrape()
        assert stored(source) == WHOLE | {(START, "nan"): 1.5, (START, "inf"): 1.5, (COUNTER, "inf"): math.inf}
        assert source.problems == ()


def test_one_failed_target_is_named_by_a_ready_service_and_all_of_them_make_it_not_ready(
    database: str, open_ledger: Opener
) -> None:
    ledger = open_ledger(database)
    with opened([fixed("", "500 Oops"), fixed(page("good"))], ledger.engine) as source:
        service = Service(spec(), source, ledger, clock=lambda: NOW)
        service.scrape()
        service.ingest()
        client = TestClient(create_app(service))
        ready = client.get("/-/ready")
        assert (ready.status_code, len(ready.json()["problems"])) == (200, 1)
        assert "HTTP 500" in ready.json()["problems"][0]
    with opened([fixed("", "500 Oops"), fixed("", "502 Oops")], ledger.engine) as source:
        service.source = source
        service.scrape()
        assert client.get("/-/ready").status_code == 503
        with pytest.raises(SourceError, match=r"HTTP 500; .*HTTP 502"):
            source.scrape()


def test_a_failed_commit_leaves_no_number_behind(database: str, open_ledger: Opener) -> None:
    engine = open_ledger(database).engine
    fails = [True]

    @event.listens_for(engine, "commit")
    def fail_once(_: object) -> None:
        if fails.pop() if fails else False:
            raise RuntimeError("the commit failed")

    with opened([fixed(page("good"))], engine) as source, opened([fixed(page("other", 900))], engine) as other:
        with pytest.raises(RuntimeError):
            source.scrape()
        other.scrape()  # another service's series take the numbers that were rolled back
        source.scrape()
        assert stored(source) == WHOLE | {(COUNTER, "other"): 900.0, (START, "other"): 1.5}


PAGES: dict[str, tuple[str, Sequence[object]]] = {
    "plain": ("a 1", [("a", {}, 1.0)]),
    "labels": ('a{b="c",d="e"} 1.5e3', [("a", {"b": "c", "d": "e"}, 1500.0)]),
    "escapes": (r'a{b="x\"\\\n}"} 2', [("a", {"b": 'x"\\\n}'}, 2.0)]),
    "a time": ("a 1 1700000000000", [("a", {}, 1.0)]),
    "a counter by its own name": ("# TYPE a counter\na 1", [("a", {}, 1.0)]),
    "spaces": ('  a {b="c"}   1', [("a", {"b": "c"}, 1.0)]),
    "not wanted": ('aa{b="c"} 1\nb 2', []),
    "comments": ("# HELP a x\n\n   \n# EOF", []),
}


@each_case(PAGES.items())
def test_a_page_is_read_as_the_format_says(case: tuple[str, Sequence[object]]) -> None:
    text, expected = case
    assert [tuple(sample) for sample in samples(f"{text}\n".encode(), True, {"a"})] == expected


def test_a_page_may_be_as_long_as_its_limit() -> None:
    line = 'other_metric_seconds_bucket{le="0.005",model="some-model",replica="10.0.0.1:8000"} 123456\n'
    text = "a 1\n" + line * ((LIMIT_BYTES - 4) // len(line))
    assert len(list(samples(text.encode(), True, {"a"}))) == 1

"""Hostile pages: never a crash, never a wrong number, never more than 150 MiB of a real `plimsoll export`."""

import contextlib
import gzip
import math
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from engine_pages import LOAD, MODEL, Answer, drip, fixed, pages, server
from export_process import Exporter, exporting
from plimsoll.exporters.engines.fetch import LIMIT_BYTES
from plimsoll.exporters.engines.parser import LIMIT_LABELS, LIMIT_LINE, Page, Parser
from stack import wait_for

pytestmark = pytest.mark.slow
MOST_MIB = 150
OK = b"HTTP/1.1 200 OK\r\n"
RUNNING = 'vllm:num_requests_running{{engine="{}",model_name="' + MODEL + '"}} {}\n'
HEADER = "X-Prometheus-Scrape-Timeout-Seconds"


def endless(head: bytes, part: bytes, size: int = 100 * 10**6) -> Answer:
    """A head, and then as many parts as make `size` bytes, unless the other side hangs up."""

    def answer(connection: socket.socket, path: str, stop: threading.Event) -> None:
        connection.sendall(head)
        for _ in range(size // len(part)):
            connection.sendall(part)

    return answer


def silent(connection: socket.socket, path: str, stop: threading.Event) -> None:
    stop.wait(8)


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


def raw(answer: bytes) -> Answer:
    return lambda connection, path, stop: connection.sendall(answer)


def filled(line: bytes, size: int = LIMIT_BYTES) -> Answer:
    """A page of as many such lines as may be sent, each with its own number in place of %d."""
    if b"%d" not in line:
        return fixed(line * (size // len(line)))
    return fixed(b"".join(line % number for number in range(size // (len(line) + 5))))


def many(count: int) -> str:
    return "".join(RUNNING.format(rank, rank) for rank in range(count))


ENGINE = [line for line in LOAD.splitlines(keepends=True) if 'engine="0"' in line]
SERVER = "".join(line for line in LOAD.splitlines(keepends=True) if line not in ENGINE)
BOMB = gzip.compress(bytes(200 * 2**20))
# What nobody may take for a page: nothing of it is shown, and the replica is down.
REFUSED: dict[str, Answer] = {
    "cut in the middle of a number": fixed(LOAD[:-3]),
    "cut, and its length tells": raw(OK + b"Content-Length: %d\r\n\r\n" % (len(LOAD) + 9) + LOAD.encode()),
    "cut between chunks": raw(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(LOAD[:30_000].encode())),
    "two lengths": raw(OK + b"Content-Length: 9\r\nContent-Length: 8\r\n\r\n" + LOAD.encode()),
    "binary": fixed(bytes(range(256)) * 4096 + b"\n"),
    "100 MB that say so": endless(OK + b"Content-Length: 100000000\r\n\r\n", LOAD.encode()),
    "100 MB in chunks": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(LOAD.encode())),
    "a chunk of 100 MB": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n", bytes(10**5)),
    "a chunk of less than nothing": endless(OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", bytes(10**5)),
    "100 MB without an end": endless(OK + b"\r\n", bytes(10**5)),
    "100 MB of headers": endless(OK, b"X-Long: " + b"a" * 10_000 + b"\r\n"),
    "100 MB of chunk extensions": endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"a" * 9000 + b"\r\na\r\n"
    ),
    "interim answers without end": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a gzip bomb": raw(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB),
    "a redirect": raw(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"),
    "a redirect to a file": raw(b"HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"),
    "a slow drip": drip(OK + b"Content-Length: 1000000\r\n\r\n"),
    "a slow drip of headers": drip(OK + b"X-Slow: "),
    "silence": silent,
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "a series twice": fixed(LOAD + RUNNING.format(0, 7)),
    "a series twice, the second without a value": fixed(LOAD + RUNNING.format(0, "NaN")),
    "a series twice, its labels the other way round": fixed(
        LOAD + f'vllm:num_requests_running{{model_name="{MODEL}",engine="0"}} 7\n'
    ),
    "a value that is no number": fixed(LOAD + RUNNING.format(1, "1_000")),
    "two models": fixed(LOAD + 'vllm:num_requests_running{engine="0",model_name="other"} 7\n'),
    "1e5 ranks": fixed(many(100_000)),
    "as many series as may be, all to be shown": fixed(many(LIMIT_BYTES // 100)),
    "1e5 labels on one series": fixed(
        LOAD + "vllm:x{" + ",".join(f'l{number}="v"' for number in range(100_000)) + "} 1\n"
    ),
    "1e5 series of one label": fixed(LOAD + "".join(f'vllm:x{{user="{number}"}} 1\n' for number in range(100_000))),
    "nothing but line ends": filled(b"\n"),
    "nothing but short series": filled(b"a 1\n"),
    "nothing but types": filled(b"# TYPE a%d counter\n"),
    "one line": fixed(b"a" * (LIMIT_BYTES - 1) + b"\n"),
    "lines as long as may be": filled(b"a" * (LIMIT_LINE - 9) + b"%d 1\n"),
    "labels as long as may be": filled(b'a{b="%d' + b"c" * (LIMIT_LINE - 20) + b'"} 1\n'),
    "nothing but escapes": filled(b'a{b="%d' + b"\\\\" * (LIMIT_LINE // 2 - 10) + b'"} 1\n'),
    "opened braces": filled(b'a%d{b="{{{{{{{{{{{{{{{{{{{{{{{{{{{\n'),
    "as many labels as may be on each line": filled(
        b"vllm:x%d{" + b",".join(b'l%02x="v"' % number for number in range(LIMIT_LABELS)) + b"} 1\n"
    ),
}
# Pages to be read for what they say: values of num_requests_running by rank.
READ: dict[str, tuple[str, dict[str, float]]] = {
    "NaN": (LOAD.replace(RUNNING.format(0, "16.0"), RUNNING.format(0, "NaN")), {}),
    "infinite": (LOAD.replace(RUNNING.format(0, "16.0"), RUNNING.format(0, "1e999")), {}),
    "negative": (LOAD.replace(RUNNING.format(0, "16.0"), RUNNING.format(0, "-16")), {}),
    "another rank's NaN": (LOAD + RUNNING.format(1, "nan"), {"0": 16}),
    "times of scraping": (LOAD + RUNNING.format(1, "3 1795259666070"), {"0": 16, "1": 3}),
    "carriage returns": (LOAD.replace("\n", "\r\n"), {"0": 16}),
    "64 ranks": (
        "".join(line.replace('engine="0"', f'engine="{rank}"') for rank in range(64) for line in ENGINE) + SERVER,
        {str(rank): 16 for rank in range(64)},
    ),
    "as many labels as may be": (
        LOAD + "".join(f'vllm:x{{a="{n}a",b="{n}b",c="{n}c"}} 1\n' for n in range(38_500)),
        {"0": 16},
    ),
    "a label of 60 kB": (
        LOAD + f'vllm:x{{user="{"☃" * 20_000}"}} 1\n',
        {"0": 16},
    ),
    "itself": (LOAD, {"0": 16}),
}


def of(replica: str, page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("llm_") and f'replica="{replica}"' in line]


def running(lines: list[str]) -> dict[str, float]:
    rows = (re.fullmatch(r'llm_requests_running\{.*rank="(\d+)".*\} (\S+)', line) for line in lines)
    return {row[1]: float(row[2]) for row in rows if row}


def most_mib(exporter: Exporter) -> float:
    """The most memory that the process ever had in use."""
    status = Path(f"/proc/{exporter.process.pid}/status").read_text()
    (size,) = re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(size) / 1024


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Exporter, Callable[[Answer, int], str]]]:
    """A real exporter of a good engine and a hostile one; and how to let the latter answer and scrape."""
    answers = [fixed("")]

    def hostile(connection: socket.socket, path: str, stop: threading.Event) -> None:
        answers[0](connection, path, stop)

    with server(hostile) as bad, server(pages([LOAD])[0]) as good:
        engines = ("--engine", f"bad={bad}", "--engine", f"good={good}")
        with exporting(tmp_path_factory.mktemp("fuzzed"), "--no-gpu", *engines) as running_exporter:

            def scrape(answer: Answer, seconds: int) -> str:
                answers[0] = answer
                return running_exporter.get(**{HEADER: str(seconds)}).raise_for_status().text

            yield running_exporter, scrape


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_server_is_down_and_costs_nobody_else_anything(
    exporter: tuple[Exporter, Callable[[Answer, int], str]], name: str
) -> None:
    process, scrape = exporter
    began = time.monotonic()
    page = scrape(REFUSED[name], 3)
    up, reason = of("bad", page)
    assert up == 'llm_replica_up{replica="bad"} 0.0' and reason.startswith("llm_replica_down_info{")
    assert running(of("good", page)) == {"0": 16}
    assert time.monotonic() - began < 60  # the scraper would have gone long ago; a page costs no minutes of work
    assert most_mib(process) < MOST_MIB
    assert process.said().count("Traceback") == 0


@pytest.mark.parametrize("name", READ)
def test_an_odd_page_is_read_for_what_it_says(
    exporter: tuple[Exporter, Callable[[Answer, int], str]], name: str
) -> None:
    process, scrape = exporter
    text, ranks = READ[name]

    def read() -> str:  # at once, unless the page before is still being worked on
        page = scrape(fixed(text), 60)
        return page if 'llm_replica_up{replica="bad"} 1.0' in of("bad", page) else ""

    page = wait_for(read, "the page to be read")
    assert running(of("bad", page)) == ranks
    assert running(of("good", page)) == {"0": 16}
    assert most_mib(process) < MOST_MIB


Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def told(page: Page) -> Series:
    return {(name, frozenset(labels)): value for name, rows in page.series.items() for labels, value in rows.items()}


def by_the_library(text: str) -> Series:
    bare = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    samples = [sample for family in text_string_to_metric_families(bare) for sample in family.samples]
    return {(s.name, frozenset(s.labels.items())): s.value for s in samples if 0 <= s.value < math.inf}


SHORT = "".join(line for line in LOAD.splitlines(keepends=True) if "_bucket" not in line)
WARM = Parser()
WARM.parse(SHORT.encode())
ODD_VALUES = ("3", "0.25", "1e3", "NaN", "-1", "+Inf", "1e999", "1_0", "1 1700000000", "", " ", "0x1", "\u0663", "x")


def assert_read_alike(text: str) -> None:
    """Whatever came before: a page is rejected, or says what the client library reads."""
    WARM.parse(SHORT.encode())
    found = []
    for parser in (WARM, Parser()):
        try:
            found.append(told(parser.parse(text.encode())))
        except ValueError:
            found.append({})
    assert found[0] == found[1]
    if found[0]:
        assert found[0] == by_the_library(text)


@given(st.integers(0, len(SHORT)))
def test_no_cut_changes_a_number(end: int) -> None:
    try:
        page = WARM.parse(SHORT[:end].encode())
    except ValueError:
        return
    assert told(page).items() <= told(Parser().parse(SHORT.encode())).items()


@given(st.lists(st.tuples(st.integers(0, len(SHORT) - 1), st.integers(0, 9), st.text(max_size=4)), max_size=6))
def test_a_page_that_is_read_says_what_the_client_library_reads(edits: list[tuple[int, int, str]]) -> None:
    text = SHORT
    for place, length, put in edits:
        text = text[:place] + put + text[place + length :]
    assert_read_alike(text)


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(ODD_VALUES)), min_size=1, max_size=4))
def test_a_page_that_differs_in_values_alone_is_read_as_if_it_were_the_first(odd: list[tuple[int, str]]) -> None:
    lines = SHORT.split("\n")
    for place, value in odd:
        line = lines[place % len(lines)]
        lines[place % len(lines)] = f"{line.rpartition(' ')[0]} {value}"
    assert_read_alike("\n".join(lines))


@given(st.binary(max_size=300) | st.text('a{}="\\, 1#\n\t', max_size=60).map(str.encode))
def test_no_bytes_are_more_than_a_refusal(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        Parser().parse(body + b"\n")

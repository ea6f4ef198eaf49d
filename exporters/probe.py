"""A probe: one short streamed chat request to an OpenAI-compatible server, measured as a client sees it.

The server needs no metrics endpoint: engines, Ollama, LM Studio, gateways.
"""

import asyncio
import logging
import re
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import msgspec

from plimsoll.exporters.collector import Point
from plimsoll.exporters.engines.fetch import address_of
from plimsoll.exporters.log_once import OnceLogger
from plimsoll.slo import metrics

# Maximum cost of one probe. A response of 64 tokens has about 20 kB of events.
MAX_TOKENS = 64
MAX_SECONDS = 120.0
MAX_BYTES = 2**20
PROMPT = "Count from one to twenty in words."

Outcome = Literal["ok", "connect", "status", "stream", "timeout"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "connect", "status", "stream", "timeout")


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """A probe to send: the server's root (or its /v1), the model, a bearer token, and the limits of one probe."""

    url: str
    model: str
    token: str | None = field(default=None, repr=False)
    max_tokens: int = 16
    timeout: float = 20.0

    def __post_init__(self) -> None:
        if not 1 < self.max_tokens <= MAX_TOKENS:
            raise ValueError(f"--max-tokens: expected 2 to {MAX_TOKENS}, got {self.max_tokens}.")
        if not 0 < self.timeout <= MAX_SECONDS:
            raise ValueError(f"--timeout: expected above 0 and at most {MAX_SECONDS:g} seconds, got {self.timeout:g}.")

    @property
    def endpoint(self) -> str:
        """URL of the chat endpoint."""
        return f"{self.url.rstrip('/').removesuffix('/v1')}/v1/chat/completions"


@dataclass(slots=True)
class Result:
    """What a client saw, in seconds; times not reached are None. `problem` is empty if the outcome is ok.

    `longest_gap` is the maximum time between two events with text. `tokens` comes from the response's usage, else its events.
    """

    outcome: Outcome = "stream"
    problem: str = ""
    time_to_first_token: float | None = None
    longest_gap: float | None = None
    time_per_output_token: float | None = None
    duration: float = 0.0
    tokens: int = 0


class _ProbeError(Exception):
    def __init__(self, outcome: Outcome, problem: str) -> None:
        super().__init__(problem)
        self.outcome: Outcome = outcome


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[Any] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    completion_tokens: int = 0


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


def probe(request: ProbeRequest) -> Result:
    """Send one request and read its response to the end, or until it fails. Raises nothing for what the server does."""
    result, started = Result(), time.monotonic()
    try:
        asyncio.run(_probe(request, result, started))
        result.outcome = "ok"
    except TimeoutError:
        result.outcome, result.problem = "timeout", f"no complete response within {request.timeout:g} s"
    except (httpx.ConnectError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        result.outcome, result.problem = "connect", str(error) or type(error).__name__
    except _ProbeError as error:
        result.outcome, result.problem = error.outcome, str(error)
    except (httpx.HTTPError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        result.outcome, result.problem = "stream", str(error) or type(error).__name__
    result.duration = time.monotonic() - started
    return result


async def _probe(request: ProbeRequest, result: Result, started: float) -> None:
    body = {
        "model": request.model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": request.max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {
        "User-Agent": "plimsoll-probe",
        **({"Authorization": f"Bearer {request.token}"} if request.token else {}),
    }
    async with (
        asyncio.timeout(request.timeout),
        httpx.AsyncClient(headers=headers, timeout=None, trust_env=False) as client,  # noqa: S113 - one timeout over all
        client.stream("POST", request.endpoint, json=body) as response,
    ):
        if response.status_code != 200:
            raise _ProbeError("status", f"HTTP {response.status_code}")
        await _read(response, result, started)


async def _read(response: httpx.Response, result: Result, started: float) -> None:
    """Time the events of a response; raises _ProbeError if it is incomplete."""
    first = last = 0.0
    events, finished = 0, False
    async for event in _events(response):
        if event.error is not None:
            raise _ProbeError("stream", f"the response ended with an error: {str(event.error)[:200]}")
        if event.usage is not None:
            result.tokens = max(result.tokens, event.usage.completion_tokens)
        for choice in event.choices:
            finished = finished or choice.finish_reason is not None
            delta = choice.delta
            if not (delta.content or delta.reasoning or delta.reasoning_content or delta.tool_calls):
                continue
            now, events = time.monotonic(), events + 1
            if not first:
                first = now
                result.time_to_first_token = first - started
            else:
                result.longest_gap = max(result.longest_gap or 0.0, now - last)
            last = now
            result.tokens = max(result.tokens, events)
    if not finished:
        raise _ProbeError("stream", "the response ended early")
    if not first:
        raise _ProbeError("stream", "the response had no text")
    if result.tokens > 1:
        result.time_per_output_token = (last - first) / (result.tokens - 1)


async def _events(response: httpx.Response) -> AsyncIterator[_Event]:
    size = 0
    async for line in response.aiter_lines():
        size += len(line)
        if size > MAX_BYTES:
            raise _ProbeError("stream", f"the response is larger than {MAX_BYTES >> 20} MiB")
        field_name, _, data = line.partition(":")
        if field_name != "data":
            continue
        if data.strip() == "[DONE]":
            return
        yield msgspec.json.decode(data.encode(), type=_Event)


_NAMED = re.compile(r"([A-Za-z0-9._-]+)=(.*)")
MIN_INTERVAL = 5.0


class ProbeCollector:
    """Probes one server every `interval` seconds, starting at the first scrape. `target` is URL or NAME=URL."""

    def __init__(
        self, target: str, model: str, interval: float, token: str | None = None, timeout: float = 20.0
    ) -> None:
        """Raise ValueError for a bad address, or an interval below MIN_INTERVAL."""
        if interval < MIN_INTERVAL:
            raise ValueError(f"--probe-interval: probes cost tokens. Use {MIN_INTERVAL:g}s or more.")
        named = _NAMED.fullmatch(target)
        url, address = address_of(named[2] if named else target, "--probe")
        self.target = named[1] if named else address
        self.name = f"probe:{self.target}"
        self.fallback: Iterable[Point] = ()
        self._request = ProbeRequest(url, model, token, timeout=min(timeout, interval))
        self._interval = interval
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._last: tuple[Result, float] | None = None
        self._outcomes: Counter[str] = Counter()
        self._tokens = 0
        self._once = OnceLogger(logging.getLogger(__name__))

    def collect(self, deadline: float) -> Iterable[Point]:
        """Return the points of the last probe; before the first ends, only the counters, at 0."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                self._thread.start()
            return list(self._points())

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            started = time.monotonic()
            self._take(probe(self._request))
            pause.wait(max(0.0, started + self._interval - time.monotonic()))

    def _take(self, result: Result) -> None:
        with self._lock:
            self._last = (result, time.monotonic())
            self._outcomes[result.outcome] += 1
            self._tokens += result.tokens
        if result.problem:
            self._once.failed(self.name, f"{self._request.endpoint}: {result.problem}")
        else:
            self._once.recovered(self.name)

    def _points(self) -> Iterator[Point]:
        labels = {"target": self.target, "model": self._request.model}
        for outcome in OUTCOMES:
            yield Point(metrics.PROBE_REQUESTS, {**labels, "outcome": outcome}, self._outcomes[outcome])
        yield Point(metrics.PROBE_TOKENS, labels, self._tokens)
        if self._last is None:
            return
        result, ended = self._last
        values = {
            metrics.PROBE_SUCCESS: float(result.outcome == "ok"),
            metrics.PROBE_TTFT: result.time_to_first_token,
            metrics.PROBE_ITL: result.longest_gap,
            metrics.PROBE_TPOT: result.time_per_output_token,
            metrics.PROBE_DURATION: result.duration,
            metrics.PROBE_AGE: time.monotonic() - ended,
        }
        for metric, value in values.items():
            if value is not None:
                yield Point(metric, labels, value)

"""A probe: one short streamed chat request to an OpenAI-compatible server, timed as a client sees it.

It works for whatever speaks that API, with or without a metrics page: engines, Ollama, LM Studio, gateways.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import msgspec

# What one probe may cost at most, whatever is asked for; an answer of 64 tokens has some 20 kB of events.
MOST_TOKENS = 64
MOST_SECONDS = 120.0
MOST_BYTES = 2**20
QUESTION = "Count from one to twenty in words."

Outcome = Literal["ok", "connect", "status", "stream", "timeout"]
OUTCOMES: tuple[Outcome, ...] = ("ok", "connect", "status", "stream", "timeout")


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of whom: the server's root (or its /v1), the model, a bearer token, and the limits of one probe."""

    url: str
    model: str
    token: str | None = field(default=None, repr=False)
    max_tokens: int = 16
    timeout: float = 20.0

    def __post_init__(self) -> None:
        if not 1 < self.max_tokens <= MOST_TOKENS:
            raise ValueError(f"a probe asks for 2 to {MOST_TOKENS} tokens, not {self.max_tokens}")
        if not 0 < self.timeout <= MOST_SECONDS:
            raise ValueError(f"a probe waits above 0 and at most {MOST_SECONDS:g} s, not {self.timeout:g} s")

    @property
    def endpoint(self) -> str:
        """URL of the chat endpoint."""
        return f"{self.url.rstrip('/').removesuffix('/v1')}/v1/chat/completions"


@dataclass(slots=True)
class Result:
    """What a client saw, in seconds; times that were not reached are None. `problem` is empty where the outcome is ok.

    `longest_gap` is the longest time between two events with text; `tokens` is by the answer's usage, or else its events.
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


def probe(ask: Ask) -> Result:
    """Ask once and wait for the end of the answer, or for what ends the wait. Never raises for what the server does."""
    result, began = Result(), time.monotonic()
    try:
        asyncio.run(_probe(ask, result, began))
        result.outcome = "ok"
    except TimeoutError:
        result.outcome, result.problem = "timeout", f"no whole answer within {ask.timeout:g} s"
    except (httpx.ConnectError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        result.outcome, result.problem = "connect", str(error) or type(error).__name__
    except _ProbeError as error:
        result.outcome, result.problem = error.outcome, str(error)
    except (httpx.HTTPError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        result.outcome, result.problem = "stream", str(error) or type(error).__name__
    result.duration = time.monotonic() - began
    return result


async def _probe(ask: Ask, result: Result, began: float) -> None:
    body = {
        "model": ask.model,
        "messages": [{"role": "user", "content": QUESTION}],
        "max_tokens": ask.max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    headers = {"User-Agent": "plimsoll-probe", **({"Authorization": f"Bearer {ask.token}"} if ask.token else {})}
    async with (
        asyncio.timeout(ask.timeout),
        httpx.AsyncClient(headers=headers, timeout=None, trust_env=False) as client,  # noqa: S113 - one timeout over all
        client.stream("POST", ask.endpoint, json=body) as response,
    ):
        if response.status_code != 200:
            raise _ProbeError("status", f"HTTP {response.status_code}")
        await _read(response, result, began)


async def _read(response: httpx.Response, result: Result, began: float) -> None:
    """Time the events of an answer; raises _ProbeError where it does not end as an answer ends."""
    first = last = 0.0
    events, finished = 0, False
    async for event in _events(response):
        if event.error is not None:
            raise _ProbeError("stream", f"the answer ended with an error: {str(event.error)[:200]}")
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
                result.time_to_first_token = first - began
            else:
                result.longest_gap = max(result.longest_gap or 0.0, now - last)
            last = now
            result.tokens = max(result.tokens, events)
    if not finished:
        raise _ProbeError("stream", "the answer broke off before its end")
    if not first:
        raise _ProbeError("stream", "the answer had no text")
    if result.tokens > 1:
        result.time_per_output_token = (last - first) / (result.tokens - 1)


async def _events(response: httpx.Response) -> AsyncIterator[_Event]:
    size = 0
    async for line in response.aiter_lines():
        size += len(line)
        if size > MOST_BYTES:
            raise _ProbeError("stream", f"the answer is larger than {MOST_BYTES >> 20} MiB")
        field_name, _, data = line.partition(":")
        if field_name != "data":
            continue
        if data.strip() == "[DONE]":
            return
        yield msgspec.json.decode(data.encode(), type=_Event)

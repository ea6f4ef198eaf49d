"""Reads status, tokens and times from one response as it passes: OpenAI's chats, completions and responses, and Anthropic's
messages, streamed or not."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

# Longer lines, and longer responses that aren't streamed, are passed on without being parsed.
MAX_BYTES = 2**20
MAX_TOKENS = 10**9  # of one response
_TEXT_EVENTS = frozenset({"content_block_delta", "response.output_text.delta", "response.reasoning_text.delta"})
_TEXTS = ("content", "reasoning", "reasoning_content", "tool_calls")


@dataclass(slots=True)
class Response:
    """One response, fed in parts with the seconds since the request arrived."""

    status: int = 500
    streamed: bool = False
    first: float | None = None
    last: float = 0.0
    events: int = 0
    prompt_tokens: int | None = None
    reported_tokens: int | None = None
    has_error: bool = False
    _rest: bytearray = field(default_factory=bytearray)
    _skip: bool = False

    @property
    def tokens(self) -> int | None:
        """Tokens generated: by the response's usage, else a stream's events with text."""
        return self.events if self.reported_tokens is None and self.streamed else self.reported_tokens

    @property
    def time_per_output_token(self) -> float | None:
        """Mean seconds per token after the first, of a stream; None without a second token."""
        if self.first is None or (self.tokens or 0) < 2:
            return None
        return (self.last - self.first) / ((self.tokens or 0) - 1)

    def start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Read the status and headers."""
        self.status = status
        types = (value for key, value in headers if key.lower() == b"content-type")
        self.streamed = any(b"text/event-stream" in value for value in types)

    def feed(self, body: bytes, now: float) -> None:
        """Read a part of the body; raises ValueError if an event of a stream isn't a JSON object."""
        if not self.streamed:
            if len(self._rest) + len(body) <= MAX_BYTES:
                self._rest += body
            else:
                self._skip = True
            return
        for line in self._lines(body):
            if line.startswith(b"data:") and line[5:].strip() not in (b"[DONE]", b""):
                self._event(_decoded(line[5:]), now)

    def finish(self) -> None:
        """Read the usage of a response that wasn't streamed, after its body ended; raises ValueError if it isn't a JSON object."""
        if not self.streamed and self.status < 400 and self._rest and not self._skip:
            self._usage(_decoded(bytes(self._rest)))

    def _lines(self, body: bytes) -> Iterator[bytes]:
        *lines, rest = body.split(b"\n")
        for line in lines:
            whole, self._rest = bytes(self._rest) + line, bytearray()
            if not self._skip:
                yield whole
            self._skip = False
        if len(self._rest) + len(rest) > MAX_BYTES:
            self._rest, self._skip = bytearray(), True
        elif not self._skip:
            self._rest += rest

    def _event(self, event: dict[str, Any], now: float) -> None:
        self._usage(event)
        self.has_error = self.has_error or bool(event.get("error"))
        if not _has_text(event):
            return
        self.events += 1
        self.first = now if self.first is None else self.first
        self.last = now

    def _usage(self, event: dict[str, Any]) -> None:
        inner = _object(event.get("message") or event.get("response"))
        usage = _object(event.get("usage") or inner.get("usage"))
        for key in ("prompt_tokens", "input_tokens"):
            self.prompt_tokens = _count(usage.get(key), self.prompt_tokens)
        for key in ("completion_tokens", "output_tokens"):
            self.reported_tokens = _count(usage.get(key), self.reported_tokens)


def _decoded(data: bytes) -> dict[str, Any]:
    """Return a JSON object; raises ValueError for anything else."""
    try:
        found: Any = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(value: Any, otherwise: int | None) -> int | None:
    """Return a number of tokens; any other value isn't one."""
    valid = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS
    return value if valid else otherwise


def _has_text(event: dict[str, Any]) -> bool:
    if str(event.get("type")) in _TEXT_EVENTS:
        return True
    choices = event.get("choices")
    return any(
        choice.get("text") or any(_object(choice.get("delta")).get(key) for key in _TEXTS)
        for choice in map(_object, choices if isinstance(choices, list) else [])
    )

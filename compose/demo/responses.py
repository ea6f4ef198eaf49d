"""The demo fleet's requests and responses: the parts of the OpenAI API that a load tool or a probe needs."""

import asyncio
import time
from random import Random
from typing import Annotated, Any

import msgspec

from plimsoll.compose.demo.fleet import MAX_MODEL_LEN
from plimsoll.compose.demo.traffic import Call, Profile

CHAT = "/v1/chat/completions"
# The response's tokens, one word each, repeated.
WORDS = ("These", "words", "come", "from", "a", "simulated", "engine.")
CHARACTERS_PER_TOKEN = 4  # a common estimate for English


class RejectedError(Exception):
    """A request rejected with 4xx; `status` is the HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ChatRequest(msgspec.Struct):
    """The fields of a request that have an effect; others are ignored."""

    model: str
    prompt: str | list[int] = ""
    messages: list[dict[str, Any]] = []
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    ignore_eos: bool = False

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool((self.stream_options or {}).get("include_usage"))

    @property
    def prompt_tokens(self) -> int:
        """Length of the prompt in tokens, estimated from its characters."""
        if isinstance(self.prompt, list):
            return max(1, len(self.prompt))
        return (
            1
            + (len(self.prompt) + sum(len(str(message.get("content"))) for message in self.messages))
            // CHARACTERS_PER_TOKEN
        )


def read(body: bytes, model: str) -> ChatRequest:
    """Parse a request to a model; raises RejectedError."""
    try:
        ask = msgspec.json.decode(body, type=ChatRequest)
    except msgspec.DecodeError as error:
        raise RejectedError(400, str(error)) from error
    if ask.model != model:
        raise RejectedError(404, f"The model `{ask.model}` does not exist.")
    return ask


def call(ask: ChatRequest, path: str, arrival: float, profile: Profile, random: Random) -> Call:
    """Build the call to the engine; raises RejectedError if it exceeds the model's context.

    As from a model, an answer's length is its own affair, up to the number of tokens asked for (which `ignore_eos` makes sure of).
    """
    limit = ask.max_completion_tokens or ask.max_tokens or (profile.max_tokens if path == CHAT else 16)
    if ask.prompt_tokens + limit > MAX_MODEL_LEN:
        raise RejectedError(
            400,
            f"This model's maximum context length is {MAX_MODEL_LEN} tokens, {ask.prompt_tokens} + {limit} were asked for.",
        )
    output = limit if ask.ignore_eos else min(limit, profile.draw(profile.output_tokens, random))
    return Call(arrival, ask.prompt_tokens, output, max_tokens=limit, handler=path)


class Generation:
    """The tokens of one call as they are generated, and the objects that contain them."""

    def __init__(self, call: Call, model: str, number: int) -> None:
        self.call = call
        self.tokens = 0
        self.stopped = False
        self._news = asyncio.Event()
        call.on_tokens = self._count
        self._chat = call.handler == CHAT
        self._about = {
            "id": f"{'chatcmpl' if self._chat else 'cmpl'}-demo-{number}",
            "created": int(time.time()),
            "model": model,
        }

    def _count(self, tokens: int) -> None:
        self.tokens = tokens
        self._news.set()

    def stop(self) -> None:
        """End the response before its last token: the server is shutting down."""
        self.stopped = True
        self._news.set()

    async def news(self) -> None:
        """Wait until more tokens may be available, or the response ended."""
        await self._news.wait()
        self._news.clear()

    async def end(self) -> None:
        """Wait until all tokens are available, or the response ended."""
        while self.tokens < self.call.output and not self.stopped:
            await self.news()

    def chunk(self, index: int) -> dict[str, Any]:
        """Return the event of one token of a stream."""
        last = index == self.call.output - 1
        role = {} if index else {"role": "assistant"}
        text = {"delta": {**role, "content": _word(index)}} if self._chat else {"text": _word(index)}
        return self._object(".chunk", [{"index": 0, **text, "finish_reason": self.call.reason if last else None}])

    def totals(self) -> dict[str, Any]:
        """Return the last event of a stream whose client requested the token counts."""
        return self._object(".chunk", []) | {"usage": self._usage()}

    def whole(self) -> dict[str, Any]:
        """Return the complete response."""
        text = "".join(map(_word, range(self.tokens)))
        content = {"message": {"role": "assistant", "content": text}} if self._chat else {"text": text}
        return self._object("", [{"index": 0, **content, "finish_reason": self.call.reason}]) | {"usage": self._usage()}

    def _usage(self) -> dict[str, int]:
        prompt, output = self.call.prompt, self.tokens
        return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}

    def _object(self, suffix: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            **self._about,
            "object": f"chat.completion{suffix}" if self._chat else "text_completion",
            "choices": choices,
        }


def _word(index: int) -> str:
    return f"{' ' if index else ''}{WORDS[index % len(WORDS)]}"

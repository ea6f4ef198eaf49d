"""What the demo fleet says: questions and answers of the OpenAI API, in as far as a load tool or a probe needs them."""

import asyncio
import time
from random import Random
from typing import Annotated, Any

import msgspec

from plimsoll.compose.demo.fleet import MAX_MODEL_LEN
from plimsoll.compose.demo.traffic import Call, Profile

CHAT = "/v1/chat/completions"
# The answer's tokens, one word each, over and over.
WORDS = ("These", "words", "come", "from", "a", "simulated", "engine.")
CHARACTERS_PER_TOKEN = 4  # a usual estimate for English


class RefusalError(Exception):
    """A question that is answered with 4xx; `status` is that of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Ask(msgspec.Struct):
    """What is read of a question; whatever else a client sends changes nothing."""

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
        """Whether a stream shall end with the numbers of tokens."""
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


def read(body: bytes, model: str) -> Ask:
    """Read a question to a model; raises RefusalError."""
    try:
        ask = msgspec.json.decode(body, type=Ask)
    except msgspec.DecodeError as error:
        raise RefusalError(400, str(error)) from error
    if ask.model != model:
        raise RefusalError(404, f"The model `{ask.model}` does not exist.")
    return ask


def call(ask: Ask, path: str, arrival: float, profile: Profile, random: Random) -> Call:
    """Make the call to the engine; raises RefusalError for one that is longer than the model's context.

    As from a model, an answer's length is its own affair, up to the number of tokens asked for (which `ignore_eos` makes sure of).
    """
    limit = ask.max_completion_tokens or ask.max_tokens or (profile.max_tokens if path == CHAT else 16)
    if ask.prompt_tokens + limit > MAX_MODEL_LEN:
        raise RefusalError(
            400,
            f"This model's maximum context length is {MAX_MODEL_LEN} tokens, {ask.prompt_tokens} + {limit} were asked for.",
        )
    output = limit if ask.ignore_eos else min(limit, profile.draw(profile.output_tokens, random))
    return Call(arrival, ask.prompt_tokens, output, max_tokens=limit, handler=path)


class Answer:
    """The tokens of one call as they come, and the objects that carry them."""

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
        """End the answer before its last token: the server is going down."""
        self.stopped = True
        self._news.set()

    async def news(self) -> None:
        """Wait until there may be more tokens, or none will come any more."""
        await self._news.wait()
        self._news.clear()

    async def end(self) -> None:
        """Wait until there are all tokens, or no more will come."""
        while self.tokens < self.call.output and not self.stopped:
            await self.news()

    def chunk(self, index: int) -> dict[str, Any]:
        """Return the event of one token of a stream."""
        last = index == self.call.output - 1
        role = {} if index else {"role": "assistant"}
        text = {"delta": {**role, "content": _word(index)}} if self._chat else {"text": _word(index)}
        return self._object(".chunk", [{"index": 0, **text, "finish_reason": self.call.reason if last else None}])

    def totals(self) -> dict[str, Any]:
        """Return the event that ends a stream whose client wants to know the numbers of tokens."""
        return self._object(".chunk", []) | {"usage": self._usage()}

    def whole(self) -> dict[str, Any]:
        """Return the answer in one piece."""
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

"""The demo fleet's HTTP server: per replica vLLM's metrics endpoint, health, version, and a subset of its OpenAI-compatible API."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from random import Random
from weakref import WeakSet

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from plimsoll.compose.demo.fleet import MAX_MODEL_LEN, Fleet
from plimsoll.compose.demo.replica import Replica
from plimsoll.compose.demo.responses import CHAT, Generation, RejectedError, call, read

VERSION = "0.32.0"


class Api:
    """The whole fleet behind one ASGI app: the port of a request selects the replica; `base` is the first port."""

    def __init__(self, fleet: Fleet, base: int) -> None:
        self._fleet = fleet
        self._base = base
        self._numbers = count(1)
        self._random = Random(0)  # noqa: S311 - response lengths, not secrets
        self._answers: WeakSet[Generation] = WeakSet()
        self.app = Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/health", self._health),
                Route("/version", self._version),
                Route("/v1/models", self._models),
                Route(CHAT, self._generate, methods=["POST"]),
                Route("/v1/completions", self._generate, methods=["POST"]),
            ]
        )

    def stop(self) -> None:
        """End every response in progress: the server is shutting down."""
        for answer in self._answers:
            answer.stop()

    def _replica(self, request: Request) -> Replica:
        port: int = request.scope["server"][1]
        return self._fleet.replicas[port - self._base]

    async def _metrics(self, request: Request) -> Response:
        self._fleet.advance(self._fleet.now)
        page = generate_latest(self._replica(request).page.registry)
        return Response(page, headers={"content-type": CONTENT_TYPE_LATEST})

    async def _health(self, _: Request) -> Response:
        return Response()

    async def _version(self, _: Request) -> Response:
        return JSONResponse({"version": VERSION})

    async def _models(self, _: Request) -> Response:
        about = {"object": "model", "owned_by": "plimsoll-demo", "max_model_len": MAX_MODEL_LEN}
        return JSONResponse({"object": "list", "data": [{"id": self._fleet.model, **about}]})

    async def _generate(self, request: Request) -> Response:
        replica, path = self._replica(request), request.url.path
        try:
            ask = read(await request.body(), self._fleet.model)
            asked = call(ask, path, self._fleet.now, self._fleet.profile, self._random)
        except RejectedError as refusal:
            replica.page.add_answer(path, "4xx")
            error = {"message": str(refusal), "type": "BadRequestError", "code": refusal.status}
            return JSONResponse({"error": error}, refusal.status)
        answer = Generation(asked, self._fleet.model, next(self._numbers))
        self._answers.add(answer)
        self._fleet.submit(replica, asked)
        if ask.stream:
            return StreamingResponse(_events(replica, answer, ask.wants_usage), media_type="text/event-stream")
        return await _whole(request, replica, answer)


async def _events(replica: Replica, answer: Generation, usage: bool) -> AsyncIterator[bytes]:
    """Stream the tokens; if the client disconnects, stop and notify the replica."""
    sent = 0
    try:
        while sent < answer.call.output:
            await answer.news()
            if answer.stopped:
                return
            for index in range(sent, answer.tokens):
                yield _event(answer.chunk(index))
                sent = index + 1
        if usage:
            yield _event(answer.totals())
        yield b"data: [DONE]\n\n"
    finally:
        replica.leave(answer.call)


def _event(data: object) -> bytes:
    return b"data: " + msgspec.json.encode(data) + b"\n\n"


async def _whole(request: Request, replica: Replica, answer: Generation) -> Response:
    ends = [asyncio.create_task(end) for end in (answer.end(), _departure(request))]
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for end in ends:
            end.cancel()
        replica.leave(answer.call)
    return JSONResponse(answer.whole()) if answer.tokens == answer.call.output else Response(status_code=503)


async def _departure(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass

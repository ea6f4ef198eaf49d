"""The page /-/gpus: the health verdicts as JSON, for schedulers and load balancers."""

import time

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from plimsoll.exporters.gpu_health import NAMES, UNKNOWN, HealthBoard
from plimsoll.exporters.request_threads import in_thread
from plimsoll.exporters.runner import Runner

MAX_AGE_SECONDS = 30.0
TIME_LIMIT = 8.0
FAIL_ON = (*NAMES[1:], UNKNOWN)


def gpus_route(board: HealthBoard, runner: Runner) -> Route:
    """Return the route. `?fail=degraded|replace|unknown` (repeatable) returns 503 for that verdict of the node, or a worse one.

    It reads the GPUs only if no scrape did in the last MAX_AGE_SECONDS.
    """

    async def gpus(request: Request) -> Response:
        fail = request.query_params.getlist("fail")
        if not set(fail) <= set(FAIL_ON):
            return PlainTextResponse(f"fail: use {', '.join(FAIL_ON)}.\n", 400)
        if board.age() > MAX_AGE_SECONDS:
            await in_thread(runner.collect, time.monotonic() + TIME_LIMIT)
        document = board.document()
        failing = {name for one in fail for name in (NAMES[NAMES.index(one) :] if one in NAMES else (one,))}
        return JSONResponse(document, 503 if document["verdict"] in failing else 200)

    return Route("/-/gpus", gpus)

"""Serve the demo fleet on loopback, one port per replica, until SIGINT or SIGTERM."""

import asyncio
import os
import signal
import socket

import uvicorn

from plimsoll.compose.demo.api import Api
from plimsoll.compose.demo.fleet import Fleet
from plimsoll.compose.inputs import UserError
from plimsoll.slo.spec.objectives import Pool, Spec

HOST = "127.0.0.1"


def serve(spec: Spec, pool: Pool, replicas: int, base: int, seed: int) -> None:
    """Serve `replicas` of a pool at ports from `base` on; raises UserError if a port isn't available."""
    sockets = _listen(base, replicas)
    # uvicorn shuts down cleanly, then re-raises the signal for the previous handler: ignore it there.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    asyncio.run(_serve(Fleet(spec, replicas, seed, pool), base, sockets))


def _listen(base: int, replicas: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    for port in range(base, base + replicas):
        try:
            sockets.append(socket.create_server((HOST, port)))
        except OSError as error:
            for opened in sockets:
                opened.close()
            reason = os.strerror(error.errno or 0)
            raise UserError(f"demo fleet: port {port} on {HOST}: {reason}; choose others with --port") from error
    return sockets


class _Server(uvicorn.Server):
    """Ends the responses in progress before it waits for them."""

    def __init__(self, api: Api) -> None:
        super().__init__(
            uvicorn.Config(
                api.app,
                log_level="warning",
                access_log=False,
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=1,
            )
        )
        self._api = api

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Shut down."""
        self._api.stop()
        await super().shutdown(sockets)


async def _serve(fleet: Fleet, base: int, sockets: list[socket.socket]) -> None:
    server = _Server(Api(fleet, base))
    driver = asyncio.create_task(fleet.drive())
    serving = asyncio.create_task(server.serve(sockets=sockets))
    print(
        f"Demo fleet: {len(fleet.replicas)} SIMULATED replicas of {fleet.model} at http://{HOST}:{base} and up; "
        "every number comes from a model.",
        flush=True,
    )
    await asyncio.wait((driver, serving), return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True  # if the clock task failed
    await serving
    if driver.done():
        driver.result()
    driver.cancel()

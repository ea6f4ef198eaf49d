"""Threads for blocking work of the exporter's endpoints. Starlette's own need anyio's event loop, which takes 1.2 MiB."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")
MAX_THREADS = 40

_POOL = ThreadPoolExecutor(MAX_THREADS, "request")


async def in_thread(function: Callable[[*Arguments], T], *arguments: *Arguments) -> T:
    """Return the function's result, off the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_POOL, function, *arguments)

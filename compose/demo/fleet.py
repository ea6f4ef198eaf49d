"""The demo fleet: replicas, the traffic distributed to them, and the clock that advances them."""

import asyncio
import time
from itertools import cycle

from plimsoll.compose.demo.exposition import Page
from plimsoll.compose.demo.replica import Replica
from plimsoll.compose.demo.traffic import Call, Profile, calls, profile
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.engine import Engine
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.checks.starting import kind_of
from plimsoll.slo.spec.objectives import Pool, Spec

# The replica with measured steps that is closest to the reference design's node.
REPLICA = "70b-fp8-h100-tp4"
# KV cache of that node, 2 x H100 80 GB: 0.92 of the memory less 70 GB of FP8 weights is 77 GB, at 327,680 B a token
# (2 x 80 layers x 8 heads x 128 x 2 B). Smaller than that of 4 GPUs, so that a burst fills it.
LIMITS = Limits(num_blocks=14_700)
TICK = 0.1
# Maximum context length in tokens.
MAX_MODEL_LEN = 32_768


class Fleet:
    """`replicas` of one pool of `spec` (default: the first). Deterministic for a seed, except for external requests."""

    def __init__(
        self, spec: Spec, replicas: int, seed: int, pool: Pool | None = None, shape: Profile | None = None
    ) -> None:
        """`shape` is the traffic (default: that of the model's kind)."""
        pool = pool or spec.pools[0]
        self.model = pool.model
        self.profile = shape or profile(kind_of(pool.model))
        model = step_time.load(REPLICA)
        self.replicas = [Replica(Engine(model, LIMITS), Page(spec, pool, LIMITS)) for _ in range(replicas)]
        self._turns = cycle(self.replicas)
        self._calls = calls(self.profile, replicas, seed)
        self._next = next(self._calls)
        self._started = time.monotonic()
        self._asked = asyncio.Event()

    @property
    def now(self) -> float:
        """Seconds since the fleet started."""
        return time.monotonic() - self._started

    def advance(self, now: float) -> None:
        """Distribute the traffic up to `now`, and run every replica up to it."""
        while self._next.arrival <= now:
            next(self._turns).submit(self._next)
            self._next = next(self._calls)
        for replica in self.replicas:
            replica.advance(now)

    def submit(self, replica: Replica, call: Call) -> None:
        """Send an external request to a replica; raises ValueError if it can never be served."""
        # Distribute earlier traffic first: a replica accepts calls in order.
        self.advance(call.arrival)
        replica.submit(call)
        replica.advance(call.arrival)
        self._asked.set()

    async def drive(self) -> None:
        """Advance the fleet with the wall clock, forever: by ticks, and by steps while a client streams."""
        while True:
            self._asked.clear()
            now = self.now
            self.advance(now)
            wake = min(now + TICK, *(replica.wake_at for replica in self.replicas))
            try:
                async with asyncio.timeout(max(0.0, wake - self.now)):
                    await self._asked.wait()
            except TimeoutError:
                continue

"""How fast the simulator is: `python tests/benchmarks/bench_simulator.py`. Prints figures; evaluates nothing.

A million requests on ten replicas, on one core: Poisson arrivals, 60 a second, with lengths drawn like those of
Azure's conversation trace (medians 1,020 and 129 tokens, 1 % above 4,142 and 601). Once dealt in turn, once through the fleet
with a policy, once with a prefix cache and prompts that share their beginnings.
"""

import time
from collections.abc import Callable
from math import exp
from random import Random

from plimsoll.slo.capacity.policies.fixed import Fixed
from plimsoll.slo.capacity.simulator import step_time
from plimsoll.slo.capacity.simulator.fleet import Setup, run
from plimsoll.slo.capacity.simulator.replay import replay
from plimsoll.slo.capacity.simulator.request import Limits
from plimsoll.slo.capacity.simulator.traces import Arrival

REQUESTS, REPLICAS, RATE = 1_000_000, 10, 60.0
MODEL = step_time.load("70b-fp8-h100-tp4")
FAMILIES, SHARED = 200, 2  # prompts of so many beginnings, of so many blocks


def arrivals() -> list[Arrival]:
    """Draw the requests."""
    random, now, found = Random(1), 0.0, list[Arrival]()  # noqa: S311 - a simulation
    for index in range(REQUESTS):
        now += random.expovariate(RATE)
        prompt = min(8000, int(1020 * exp(random.gauss(0, 0.6))) + 1)
        family = random.randrange(FAMILIES)
        blocks = range(-(-prompt // 512))
        prefix = tuple(-(family * SHARED + at + 1) if at < SHARED else index * 16 + at for at in blocks)
        found.append(Arrival(now, prompt, min(2000, int(129 * exp(random.gauss(0, 0.66))) + 1), prefix))
    return found


def timed(name: str, work: Callable[[], float]) -> None:
    """Print how long it took."""
    start = time.process_time()
    good = work()
    print(f"{name:45} {time.process_time() - start:6.1f} s of processor time; {good:.4f} good at 2000/200", flush=True)


def main() -> None:
    """Print a line for each way to serve the million."""
    drawn = arrivals()
    setup = Setup(MODEL, Limits(), REPLICAS, REPLICAS)
    cached = Setup(MODEL, Limits(prefix_block=512), REPLICAS, REPLICAS, routing="prefix-sticky")
    print(f"{REQUESTS:,} requests over {drawn[-1].time / 3600:.1f} h, {REPLICAS} replicas")
    timed("replay, round robin", lambda: replay(drawn, REPLICAS, MODEL, Limits()).goodput(2.0, 0.2))
    timed("fleet, round robin", lambda: run(drawn, Fixed(REPLICAS), setup).result.goodput(2.0, 0.2))
    timed("fleet, prefix cache, prefix-sticky", lambda: run(drawn, Fixed(REPLICAS), cached).result.goodput(2.0, 0.2))


if __name__ == "__main__":
    main()

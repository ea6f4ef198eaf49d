"""A chaos run: everything that Plimsoll reads from and writes to fails, by a plan drawn from a seed, and the truth is compared at the end.

    python tests/chaos/run.py --seed 1 --minutes 10 [--markdown FILE] [--only KIND,KIND]

Exit status 0: the ledgers held the truth, no page was false or missing, no release was recommended blind.
"""

import argparse
import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx

import chaos_config as config
from chaos_report import Result, blind_advice, markdown
from chaos_stack import Mark, World, running, sources
from children import until
from comparison import compare
from fault_kinds import Kind
from fault_plan import SHORT, Fault, draw
from truth_pages import BURN, DOWN, REPLICA_DOWN, Page, arrived, deserved, missing
from watcher import Watcher

HEAD = """# Chaos runs

What each run does is in [CONTRIBUTING.md](../../CONTRIBUTING.md#chaos-run). A slot is compared with what the engines served at the times that the
source stored: good and total requests to the last one, covered seconds to 2 ms.

"""
RECOVER_SECONDS = 120.0  # after the last fault everything must be ready by then
# An incident that goes on must have arrived by then. A lost replica is a ticket: it fires after DOWN, from its start again if the
# store loses samples, and may wait for the next notification of its pool's tickets (routing.py: every 5 min).
ARRIVE_SECONDS = DOWN + 300 + 60
AGREE_SECONDS = 120.0  # after the last sample the ledgers must hold the truth by then
AGAIN_SECONDS = 2.0  # a child that ended by itself is started again, as by systemd
STALE = 60.0  # docs/explanation/recommendations.md
LOST_REPLICA, SLOW = f"{config.CALM}-2", 0.5


class Run:
    """One run: begins and ends the faults in time, and keeps the children up."""

    def __init__(self, world: World, result: Result) -> None:
        self.world, self.result = world, result
        self._open: list[
            tuple[float, float, Fault]
        ] = []  # (end, begun at, fault), times of time.monotonic and time.time
        self._again: dict[str, float] = {}

    def faults(self, faults: list[Fault], seconds: float) -> None:
        """Run the plan, with its incidents."""
        begin, left = time.monotonic(), sorted(faults, key=lambda one: one.at)
        incidents = [(0.2 * seconds, self._slow_down)] + ([(0.3 * seconds, self._lose)] if seconds > SHORT else [])
        while (passed := time.monotonic() - begin) < seconds:
            while left and left[0].at <= passed:
                self._begin(left.pop(0))
            for at, strike in [one for one in incidents if one[0] <= passed]:
                incidents.remove((at, strike))
                strike()
            self._end(time.monotonic())
            self.keep_up()
            time.sleep(0.2)
        self._end(float("inf"))

    def _slow_down(self) -> None:
        for engine in self.world.fleet.engines.values():
            engine.slow = SLOW if engine.pool == config.BUSY else engine.slow

    def _lose(self) -> None:
        self.world.fleet.engines[LOST_REPLICA].kill()

    def _begin(self, fault: Fault) -> None:
        print(f"  {fault}", flush=True)
        begun = time.time()
        if self._tried(fault, fault.kind.begin):
            self._open.append((time.monotonic() + fault.seconds, begun, fault))

    def _end(self, now: float) -> None:
        for one in [one for one in self._open if one[0] <= now]:
            self._open.remove(one)
            _, begun, fault = one
            self._tried(fault, fault.kind.end)
            # A replica counts as seen for STALE seconds after its last sample; a store that does not answer is missed at once.
            since = begun + (STALE if fault.target in self.world.exporters else 0)
            blinded = _blinded(self.world, fault.kind, fault.target)
            self.world.marks += [Mark(service, "blind", since, time.time()) for service in blinded]
            if fault.kind.name == "targets in two jobs":
                self.world.marks.append(Mark(fault.target, "twice", begun, time.time()))

    def _tried(self, fault: Fault, step: Callable[[World, str], None]) -> bool:
        try:
            step(self.world, fault.target)
        except (httpx.HTTPError, OSError) as error:
            self.result.problems.append(f"the run could not do {fault}: {error!r}")
            return False
        return True

    def keep_up(self) -> None:
        """Start again what ended by itself."""
        for name, child in self.world.children.items():
            if name in self.world.down or child.running():
                self._again.pop(name, None)
            elif time.monotonic() > self._again.setdefault(name, time.monotonic() + AGAIN_SECONDS):
                self.result.restarts[name] += 1
                child.start()
                del self._again[name]


def _blinded(world: World, kind: Kind, target: str) -> list[str]:
    """Return the services that had no whole answer while a fault lasted."""
    if not kind.blinds:
        return []
    if target in world.exporters:
        return list(world.services)
    return [service for service, store in sources(world).items() if store == target]


def settle(world: World, run: Run) -> None:
    """All faults are over: wait for everything to be up, for the pages, and, once nothing new is scraped, for the ledgers."""
    result = run.result

    def recovered() -> bool:
        run.keep_up()
        # The incident's replica stays down until it paged: the embedded service says so, rightly.
        return not world.not_ready()

    if not until(recovered, RECOVER_SECONDS):
        result.problems += [f"{name} did not recover: {why}" for name, why in world.not_ready().items()]
    expected = {Page(config.BUSY, BURN)}
    if result.minutes * 60 > SHORT:
        expected.add(Page(config.CALM, REPLICA_DOWN))
    until(lambda: not missing(expected, arrived(world.pagerduty.events)), ARRIVE_SECONDS)
    result.deserved = deserved(world.fleet, world.fleet.longest_down)
    if not expected <= result.deserved.may:
        result.problems.append(f"the incidents of this run deserve no page: {sorted(expected - result.deserved.may)}")
    for name in world.exporters:
        world.children[name].end(signal.SIGTERM)

    def agree() -> bool:
        with contextlib.suppress(httpx.HTTPError):
            result.compared = compare(world)
        return bool(result.compared) and result.differences == 0

    until(agree, AGREE_SECONDS, every=3)
    result.arrived = arrived(world.pagerduty.events)


def run(seed: int, minutes: float, only: list[str]) -> Result:
    """Run once."""
    result = Result(seed, minutes)
    with running(seed) as world:
        result.skipped = world.skipped
        plan = draw(world, seed, minutes * 60, kept=[LOST_REPLICA], only=only)
        result.faults = plan
        print(f"Seed {seed}: {len(plan)} faults in {minutes:g} minutes", flush=True)
        watcher, one = Watcher(world), Run(world, result)
        one.faults(plan, minutes * 60)
        print("  no more faults", flush=True)
        settle(world, one)
        watcher.stop()
        result.advice = sorted(watcher.advice.values())
        result.blind, result.releases = blind_advice(world, result.advice)
        result.problems += world.problems
        result.problems += [f"rule failed: {text}" for text in sorted(watcher.rule_errors)]
        if not result.passed:
            kept = Path(f"chaos-{seed}-logs")
            kept.mkdir(exist_ok=True)
            for child in world.children.values():
                (kept / f"{child.name}.log").write_bytes(child.log.read_bytes())
    return result


def main() -> int:
    """Run as the command line asks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--only", default="", metavar="KIND,KIND", help="faults of these kinds only")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="append the report to a file")
    args = parser.parse_args()
    result = run(args.seed, args.minutes, [one for one in args.only.split(",") if one])
    text = markdown(result)
    print(text)
    if result.restarts:
        print(f"Ended by themselves and started again: {dict(Counter(result.restarts))}")
    if args.markdown:
        head = "" if args.markdown.exists() else HEAD
        with args.markdown.open("a") as file:
            file.write(head + text)
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())

"""A pool with known truth: requests that queue, run, fail, are rejected or given up; and what was scraped of its engines and GPUs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from plimsoll.slo import metrics as c
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from sample_list import sample_list
from world import SPEC_TEXT

Sample = tuple[str, tuple[tuple[str, str], ...], float]
MODEL = "pooled"
SPEC = load(SPEC_TEXT.replace("model: m\n", f"model: {MODEL}\n"))
END = {"stop": c.FINISHED, "length": c.FINISHED, "error": c.FINISHED, "5xx": c.REJECTED}


@dataclass(frozen=True)
class Ask:
    """A request: it arrives, runs from `begin` (never, if it is rejected or given up while queued), and is over at `end`."""

    arrive: float
    begin: float | None
    end: float
    how: str  # stop, length, error, 5xx, queued, streaming
    prompt: int = 0
    generated: int = 0
    preempted: int = 0


@dataclass
class Life:
    """One process of a replica; what is still in flight when it ends is lost."""

    start: float
    asks: list[Ask]
    end: float = float("inf")


def asks(seed: int, since: float, until: float, rate: float, burst: tuple[float, float] = (0, 0)) -> list[Ask]:
    """Requests by chance; in the `burst` they wait, are preempted and some are rejected or leave."""
    random, found, at = Random(seed), [], since  # noqa: S311 - a fixed sequence
    while (at := at + random.expovariate(rate)) < until:
        hard = burst[0] <= at < burst[1]
        how = random.choice(["stop", "stop", "length", "error", "5xx", "queued", "streaming"] if hard else ["stop"])
        wait = random.uniform(5, 40) if hard else 0.0
        begin = None if how in ("5xx", "queued") else at + wait
        end = at if how == "5xx" else at + wait + (0 if how == "queued" else random.uniform(0.5, 8))
        found.append(Ask(at, begin, end, how, random.randint(1, 900), random.randint(1, 300), int(hard and at % 7 < 1)))
    return found


def page(life: Life, replica: str, at: float, watts: float | None) -> list[Sample]:
    """What the exporter says at a moment; nothing of errors as long as there is none."""
    mine = (("engine", "vllm"), ("model", MODEL), ("replica", replica))
    rank = (("rank", "0"), *mine)
    over = [ask for ask in life.asks if ask.end <= at]
    here = [ask for ask in life.asks if ask.arrive <= at < ask.end]
    running = [ask for ask in here if ask.begin is not None and ask.begin <= at]
    found: list[Sample] = [
        (c.REPLICA_START.name, mine, life.start),
        (c.REQUESTS_RUNNING.name, rank, len(running)),
        (c.REQUESTS_WAITING.name, rank, len(here) - len(running)),
        (c.KV_CACHE_USAGE.name, rank, min(1.0, len(running) / 32)),
        (c.PREEMPTIONS.name, rank, sum(ask.preempted for ask in over)),
        (c.PROMPT_TOKENS.name, rank, sum(ask.prompt for ask in over)),
        (c.GENERATION_TOKENS.name, rank, sum(ask.generated for ask in over)),
    ]
    for how in ("stop", "length", "error"):
        number = sum(ask.how == how for ask in over)
        if number or how == "stop":
            found.append((c.FINISHED.name, (("reason", how), *rank), number))
    found.append((c.REJECTED.name, (("reason", "5xx"), *mine), sum(ask.how == "5xx" for ask in over)))
    for stage in ("queued", "streaming"):
        found.append((c.ABANDONED.name, (("stage", stage), *mine), sum(ask.how == stage for ask in over)))
    if watts is not None:
        uuid = ("uuid", f"GPU-{replica}")
        found.append((c.GPU_ASSIGNMENT.name, (uuid, *mine[1:]), 1.0))
        found.append((c.GPU_ENERGY.name, (uuid,), 1e6 + watts * (at % 1e6)))
    return found


@dataclass
class PoolWorld:
    """Replicas, each on a node of its own, with their lives, scrape times and the watts of their GPUs."""

    lives: dict[str, list[Life]]
    scrapes: dict[str, list[float]]
    watts: dict[str, float] = field(default_factory=dict)
    _series: list[Series] = field(default_factory=list, init=False)

    def alive(self, replica: str, at: float) -> Life | None:
        return next((life for life in self.lives[replica] if life.start <= at < life.end), None)

    def pages(self, replica: str) -> list[tuple[float, list[Sample]]]:
        """Every scrape that found a process."""
        found = []
        for at in self.scrapes[replica]:
            life = self.alive(replica, at)
            if life is not None:
                found.append((at, page(life, replica, at, self.watts.get(replica))))
        return found

    def series(self) -> list[Series]:
        """Everything that was scraped."""
        if not self._series:
            self._series = self._scraped()
        return self._series

    def _scraped(self) -> list[Series]:
        found: dict[tuple[str, object], Series] = {}
        for replica in self.lives:
            for at, samples in self.pages(replica):
                for name, labels, value in samples:
                    key = name, (replica, labels)
                    if key not in found:
                        found[key] = Series(name, {**dict(labels), "instance": f"node-{replica}:9800"}, [])
                    sample_list(found[key]).append((at, float(value)))
        return list(found.values())


def text(samples: Sequence[Sample]) -> str:
    """Write samples as an exporter's page does."""
    lines = (
        (name, ",".join(f'{label}="{value}"' for label, value in labels), number) for name, labels, number in samples
    )
    return "".join(f"{name}{{{labels}}} {float(number)!r}\n" for name, labels, number in sorted(lines))

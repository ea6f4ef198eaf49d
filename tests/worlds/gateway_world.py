"""Gateways with known truth: Plimsoll's own counters at two of them, tenants that ask for something, and what was scraped."""

from dataclasses import dataclass, field
from random import Random

from prometheus_client import CollectorRegistry

from plimsoll.exporters.gateway.metrics import Counts, EndedRequest
from plimsoll.exporters.gateway.response import Response
from plimsoll.slo import metrics as c
from plimsoll.slo.calendar import slot_of
from plimsoll.slo.sources import Series
from recorded import Recorded
from sample_list import sample_list

T0 = 1_700_000_100  # a slot's start
HOURS = 2
END = T0 + HOURS * 3600
SCRAPE = 30
LIMIT = 0.6
HOSTILE = (
    "<script>alert(1)</script>",
    'x"} or vector(1) #',
    "'; DROP TABLE slots; --",
    "../../etc/passwd",
    "a/b?c=d&e",
    "Ünïcode ✓ 名前",
    "{{ 7 * 7 }}",
    "other",
    "all",
)
UNWRITABLE = ("nul\x00", "line\nbreak", "\u202egnp.exe", " ")
# An engine behind the gateways that reports no requests itself.
ENGINE = Series(
    c.REPLICA_START.name,
    {"replica": "a", "model": "m", "engine": "vllm", "instance": "node:9800"},
    [(float(at), T0 - 9e4) for at in range(T0, END + 1, SCRAPE)],
)
Booked = dict[str, dict[int, tuple[int, int]]]


@dataclass
class Gateways:
    """Two gateways whose counters are Plimsoll's own, scraped as a Prometheus does; and what each tenant really did, by slot.

    A request is `good` for the latency objective within 0.6 s to the first token, and for availability where it did not fail.
    """

    tenants: tuple[str, ...]
    seed: int = 1
    restart: int = T0 + 4000
    series: dict[tuple[str, ...], Series] = field(default_factory=dict)
    truth: dict[str, Booked] = field(default_factory=lambda: {"fast": {}, "up": {}})

    def run(self) -> "Gateways":
        random = Random(self.seed)  # noqa: S311 - a fixed sequence
        for gateway in ("east", "west"):
            registry = CollectorRegistry()
            counts = Counts(gateway, 1000, registry)
            counts.add(self._ended("early", 0.1, None))  # before the first scrape: at an unknown time
            for at in range(T0, END + 1, SCRAPE):
                if at == self.restart and gateway == "west":
                    registry = CollectorRegistry()
                    counts = Counts(gateway, 1000, registry)
                if at > T0:
                    self._serve(random, counts, gateway, at)
                self._scrape(registry, gateway, at)
        return self

    def _ended(self, tenant: str, first: float, reason: str | None) -> EndedRequest:
        answer = Response()
        answer.status, answer.first = (500 if reason == "5xx" else 429 if reason == "4xx" else 200), first
        return EndedRequest("m", tenant, reason, first + 1, answer)

    def _serve(self, random: Random, counts: Counts, gateway: str, at: int) -> None:
        for number, tenant in enumerate(self.tenants):
            since = T0 + 60 * number  # one after the other they begin, and each has pauses
            if at < since or random.random() < 0.3 or (gateway == "west" and number % 3 == 0):
                continue
            counts.add(self._ended(tenant, 0.1, None))  # only a request that was served gives a new name
            self._note("fast", tenant, at, 1, 1)
            self._note("up", tenant, at, 1, 1)
            for _ in range(random.randrange(4)):
                first = random.choice((0.1, 0.55, 0.61, 3.0))
                reason = random.choices(
                    (None, "4xx", "5xx", "client_closed", "stream_interrupted"), (90, 2, number % 5, 3, 1)
                )[0]
                counts.add(self._ended(tenant, first, reason))
                self._note("fast", tenant, at, first <= LIMIT, 1)
                self._note("up", tenant, at, reason is None, reason in (None, "5xx", "stream_interrupted"))

    def _note(self, objective: str, tenant: str, at: int, good: int, total: int) -> None:
        mine = self.truth[objective].setdefault(tenant, {})
        before = mine.get(slot_of(at), (0, 0))
        mine[slot_of(at)] = before[0] + good, before[1] + total

    def _scrape(self, registry: CollectorRegistry, gateway: str, at: int) -> None:
        for family in registry.collect():
            for sample in family.samples:
                if sample.name.endswith(("_created", "_sum")):
                    continue
                labels = {**sample.labels, "instance": f"{gateway}:9801"}
                name = (gateway, sample.name, *map(str, sorted(labels.items())))
                sample_list(self.series.setdefault(name, Series(sample.name, labels, []))).append(
                    (float(at), sample.value)
                )

    def source(self) -> Recorded:
        return Recorded([ENGINE, *self.series.values()])

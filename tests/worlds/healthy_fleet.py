"""A healthy fleet of one pool as promtool series, a sample a minute, and what happens to its replicas on an ordinary day."""

from dataclasses import dataclass

from health_cases import MODEL, Given
from plimsoll.slo import metrics as c
from promtool import series

EACH = ("stop", "length", "error", "abort")
BOUNDS = ("0.01", "0.025", "0.05", "0.25", "0.5", "0.6", "1.0", "2.5", "4.0", "+Inf")


@dataclass
class Fleet:
    """So many replicas for so many minutes, each with `per_minute` good requests; `set` and `drop` change single series."""

    replicas: int
    minutes: int
    per_minute: float = 60.0

    def __post_init__(self) -> None:
        self.given: dict[str, str] = {'plimsoll_ingest_lag_seconds{instance="slo:8080"}': self.flat(60)}
        for number in range(1, self.replicas + 1):
            self.add(number)

    def flat(self, value: float) -> str:
        """Return a gauge without changes."""
        return f"{value:g}x{self.minutes}"

    def add(self, number: int, per_minute: float | None = None, begin: int = 0, tpot: str = "0.025") -> None:
        """Add a replica on a node of its own, which starts at minute `begin` and decodes within the bound `tpot`."""
        rate, blank = self.per_minute if per_minute is None else per_minute, f"_x{begin} " if begin else ""
        node = {"job": "plimsoll", "instance": f"n{number}:9800"}
        replica = {**node, "replica": f"r{number}", "engine": "vllm"}
        own, ranked = {**replica, "model": MODEL}, {**replica, "model": MODEL, "rank": "0"}
        found = {
            series("up", node): self.flat(1),
            series(str(c.COLLECTOR_SUCCESS), {**node, "collector": "vllm"}): self.flat(1),
            series(str(c.REPLICA_UP), replica): self.flat(1),
            series(str(c.REPLICA_INFO), own): self.flat(1),
            series(str(c.REPLICA_START), own): self.flat(60 * begin),
            series(str(c.REQUESTS_RUNNING), ranked): self.flat(10 if rate else 0),
            series(str(c.REQUESTS_WAITING), ranked): self.flat(0),
            series(str(c.KV_CACHE_USAGE), ranked): self.flat(0.4),
            series(str(c.PREEMPTIONS), ranked): self.flat(0),
            series(str(c.PROMPT_TOKENS), ranked): self.counter(rate * 1000),
            series(str(c.GENERATION_TOKENS), ranked): self.counter(rate * 200),
            series(str(c.PROGRESS_TOKENS), ranked): self.counter(rate * 1200),
            series(str(c.PREFIX_QUERIED), ranked): self.counter(rate * 1000),
            series(str(c.PREFIX_HIT), ranked): self.counter(rate * 600),
            series(str(c.REJECTED), {**ranked, "reason": "5xx"}): self.flat(0),
            series(str(c.ABANDONED), {**ranked, "stage": "queued"}): self.flat(0),
        }
        for reason in EACH:
            found[series(str(c.FINISHED), {**ranked, "reason": reason})] = self.counter(rate * (reason == "stop"))
        for metric, within in ((c.TTFT, "0.25"), (c.TPOT, tpot), (c.DURATION, "2.5")):
            for le in BOUNDS:
                reached = rate if float(le) >= float(within) else 0
                found[series(metric.bucket, {**ranked, "le": le})] = self.counter(reached)
            found[series(metric.count, ranked)] = self.counter(rate)
        self.given |= {name: blank + values for name, values in found.items()}

    def counter(self, per_minute: float) -> str:
        """Return a counter that grows evenly."""
        return f"0+{per_minute:g}x{self.minutes}"

    def set(self, values: str, metric: object, **labels: str) -> None:
        """Replace the values of every series of a metric with these labels; at least one must exist."""
        found = [name for name in self.given if name.split("{")[0] == str(metric) and self._has(name, labels)]
        assert found, (metric, labels)
        self.given |= dict.fromkeys(found, values)

    def vanish(self, number: int, at: int, but: tuple[str, ...] = (), until: int = 0) -> None:
        """Leave out a node's series from minute `at` on (or until a minute), except those of some metrics."""
        for name, values in self.given.items():
            if self._has(name, {"instance": f"n{number}:9800"}) and name.split("{")[0] not in but:
                begin, _, rest = values.partition("x")
                assert rest == str(self.minutes), f"{name}: {values}"
                value, _, step = begin.partition("+")
                later = f"{value}+{step}x{self.minutes - until}" if step else f"{begin}x{self.minutes - until}"
                self.given[name] = f"{begin}x{at - 1}" + (f" _x{until - at} {later}" if until else "")

    @staticmethod
    def _has(name: str, labels: dict[str, str]) -> bool:
        return all(f'{label}="{value}"' in name for label, value in labels.items())

    @property
    def series(self) -> list[Given]:
        """Series as promtool reads them."""
        return [{"series": name, "values": values} for name, values in self.given.items()]

"""Scrape targets of an incident replay: one metrics endpoint per node, that of the SLO service, and the history before the run.

Everything is a function of the simulated second: a scrape gets the metrics of its time.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from http_server import serving_text
from incidents import HISTORY, Incident, State
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import Spec

SERVICE = "slo:8080"
COARSE = 300.0  # seconds between the samples of history; recorded series need those of the rules
FINE = 60.0


@dataclass(frozen=True)
class Clock:
    """Simulated time runs `speed` times as fast as real time; both start at `begun` (Unix seconds)."""

    begun: float
    speed: float

    def simulated(self, wall: float | None = None) -> float:
        """Return the simulated seconds since the start, at a Unix time (default: now)."""
        return self.speed * ((time.time() if wall is None else wall) - self.begun)

    def wall(self, simulated: float) -> float:
        """Return the Unix time of a simulated second."""
        return self.begun + simulated / self.speed


class Targets:
    """Metrics of all incidents by instance: `name-1:9800` and so on, and of the SLO service."""

    def __init__(self, incidents: Sequence[Incident], spec: Spec, clock: Clock) -> None:
        self.incidents, self.spec, self.clock = incidents, spec, clock
        self.nodes = {f"{one.name}-{node + 1}:9800": (one, node) for one in incidents for node in range(one.nodes)}

    @property
    def instances(self) -> list[str]:
        """Instance of every target."""
        return [*self.nodes, SERVICE]

    def metrics(self, instance: str, second: float) -> str | None:
        """Return the metrics of an instance in text format; None while it is down."""
        if instance == SERVICE:
            return "\n".join(self._service(second)) + "\n"
        one, node = self.nodes[instance]
        state = one.piece(node, second).at(second)
        return "\n".join(self._node(one, node, second, state)) + "\n" if state.exporter else None

    def _node(self, one: Incident, node: int, second: float, state: State) -> Iterator[str]:
        own = f'replica="r{node + 1}",model="{one.name}",engine="vllm"'
        yield f'{c.COLLECTOR_SUCCESS}{{collector="vllm"}} {state.up:g}'
        yield f'{c.COLLECTOR_SUCCESS}{{collector="nvml"}} 1'
        yield from self._gpus(one, node, second, state)
        yield f"{c.REPLICA_UP}{{{own}}} {state.up:g}"
        if not state.up:
            return
        yield f'{c.REPLICA_INFO}{{{own},version="0.32.0",simulated="true"}} 1'
        yield f"{c.REPLICA_START}{{{own}}} {self.clock.begun + one.born(node, second):.0f}"
        ranked = f'{own},rank="0"'
        gauges = {
            c.REQUESTS_RUNNING: state.running,
            c.REQUESTS_WAITING: int(state.waiting),
            c.KV_CACHE_USAGE: state.kv_cache,
        }
        yield from (f"{metric}{{{ranked}}} {value:g}" for metric, value in gauges.items())
        for key, count in one.counted(node, second).items():
            name, _, labels = key.partition(",")
            yield f"{name}{{{','.join(filter(None, (ranked, labels)))}}} {int(count + 1e-6)}"

    def _gpus(self, one: Incident, node: int, second: float, state: State) -> Iterator[str]:
        """Yield two GPUs; a file can make the first one lost, throttled, or report an XID."""
        for gpu in (0, 1):
            mine = state if gpu == 0 else State()
            own = f'uuid="GPU-{one.name}-{node + 1}{gpu}"'
            yield f"{c.GPU_UP}{{{own}}} {mine.gpu:g}"
            yield f"{c.GPU_RECOVERY_ACTION}{{{own}}} {mine.recovery:g}"
            if mine.xid:
                reported = self.clock.begun + one.piece(node, second).start
                yield f'{c.GPU_XID_LAST}{{{own},xid="{mine.xid:g}"}} {reported:.0f}'
            if mine.gpu:
                yield f'{c.GPU_CLOCK}{{{own},domain="sm"}} {1.98e9 * mine.clock:.0f}'
                yield f'{c.GPU_CLOCK_MAX}{{{own},domain="sm"}} 1980000000'
                yield f'{c.GPU_CLOCK_LIMITED}{{{own},reason="hardware_thermal"}} {float(mine.clock < 1):g}'

    def _service(self, second: float) -> Iterator[str]:
        """Yield the service's metrics: recommendation and exclusion are those of the first replica's stretch."""
        yield f"{c.INGEST_LAG} 60"
        for one in self.incidents:
            state = one.piece(0, second).state
            yield f'{c.RECOMMENDED_NODES}{{pool="{one.name}"}} {max(state.recommended, one.nodes):g}'
            for objective in self.spec.objectives:
                if objective.pool == one.name:
                    own = f'objective="{objective.id}",pool="{one.name}"'
                    yield f"{c.BUDGET_REMAINING}{{{own}}} 0.6"
                    yield f"{c.COVERAGE}{{{own}}} 1"
                    yield f"{c.EXCLUDED}{{{own}}} {state.excluded:g}"

    def history(self) -> Iterator[str]:
        """Yield the history before the run as OpenMetrics: raw series coarsely, recorded ones as often as rules run."""
        for instance, (one, node) in self.nodes.items():
            if one.piece(node, -1).state.exporter:
                for line in self._node(one, node, 0, one.piece(node, -1).state):
                    yield from self._past(line, one, node, instance)
        for objective in self.spec.objectives:
            one = next(one for one in self.incidents if one.name == objective.pool)
            good, total = one.requests(objective.indicator.kind, -60, 0)
            own = f'{{objective="{objective.id}",pool="{objective.pool}"}}'
            for name, rate in ((recorded.GOOD_RATE, good / 60), (recorded.TOTAL_RATE, total / 60)):
                for moment in _moments(FINE):
                    yield f"{name}{own} {rate:g} {self.clock.wall(moment):.3f}"
        yield "# EOF"

    def _past(self, line: str, one: Incident, node: int, instance: str) -> Iterator[str]:
        """Yield a line's samples at every time of history: counters grow towards their value, gauges are constant."""
        sample, _, value = line.rpartition(" ")
        name, _, labels = sample.rstrip("}").partition("{")
        whole = f'{name}{{job="plimsoll",instance="{instance}",{labels}}}'
        counted = any(name.endswith(end) for end in ("_total", "_bucket", "_count"))
        for moment in _moments(COARSE):
            shown = int(float(value) * (1 + moment / HISTORY) + 1e-6) if counted else value
            yield f"{whole} {shown} {self.clock.wall(moment):.3f}"

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve every instance's metrics at /INSTANCE of one loopback port; yields its address."""
        with serving_text(lambda path, body: self.metrics(path.strip("/"), self.clock.simulated())) as address:
            yield address


def _moments(every: float) -> list[float]:
    return [-HISTORY + every * step for step in range(int(HISTORY / every))]

"""The stage on which incidents are played: one metrics page per node, the SLO service's page, and the history before them.

Everything is a function of the played second. A server answers every scrape with the page of that very moment.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from incidents import HISTORY, Incident, State
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import Spec

SERVICE = "slo:8080"
COARSE = 300.0  # seconds between the samples of history; recorded series need those of the rules
FINE = 60.0


@dataclass(frozen=True)
class Clock:
    """Played time runs `speed` times as fast as the wall's; both begin at `begun` (Unix seconds), when the curtain rises."""

    begun: float
    speed: float

    def played(self, wall: float | None = None) -> float:
        """Seconds since the curtain rose, in the play."""
        return self.speed * ((time.time() if wall is None else wall) - self.begun)

    def wall(self, played: float) -> float:
        """When a played second comes, in Unix seconds."""
        return self.begun + played / self.speed


class Stage:
    """Pages of a whole cast by instance: `name-1:9800` and so on, and the service's."""

    def __init__(self, cast: Sequence[Incident], spec: Spec, clock: Clock) -> None:
        self.cast, self.spec, self.clock = cast, spec, clock
        self.nodes = {f"{one.name}-{node + 1}:9800": (one, node) for one in cast for node in range(one.nodes)}

    @property
    def instances(self) -> list[str]:
        """Every target."""
        return [*self.nodes, SERVICE]

    def page(self, instance: str, played: float) -> str | None:
        """The page of an instance; None where nobody answers."""
        if instance == SERVICE:
            return "\n".join(self._service(played)) + "\n"
        one, node = self.nodes[instance]
        state = one.piece(node, played).at(played)
        return "\n".join(self._node(one, node, played, state)) + "\n" if state.exporter else None

    def _node(self, one: Incident, node: int, played: float, state: State) -> Iterator[str]:
        own = f'replica="r{node + 1}",model="{one.name}",engine="vllm"'
        yield f'{c.COLLECTOR_SUCCESS}{{collector="vllm"}} {state.up:g}'
        yield f'{c.COLLECTOR_SUCCESS}{{collector="nvml"}} 1'
        yield from self._gpus(one, node, played, state)
        yield f"{c.REPLICA_UP}{{{own}}} {state.up:g}"
        if not state.up:
            return
        yield f'{c.REPLICA_INFO}{{{own},version="0.32.0",simulated="true"}} 1'
        yield f"{c.REPLICA_START}{{{own}}} {self.clock.begun + one.born(node, played):.0f}"
        ranked = f'{own},rank="0"'
        gauges = {
            c.REQUESTS_RUNNING: state.running,
            c.REQUESTS_WAITING: int(state.waiting),
            c.KV_CACHE_USAGE: state.kv_cache,
        }
        yield from (f"{metric}{{{ranked}}} {value:g}" for metric, value in gauges.items())
        for key, count in one.counted(node, played).items():
            name, _, labels = key.partition(",")
            yield f"{name}{{{','.join(filter(None, (ranked, labels)))}}} {int(count + 1e-6)}"

    def _gpus(self, one: Incident, node: int, played: float, state: State) -> Iterator[str]:
        """Two GPUs, the first of which a file may lose, hold down, or have report an XID."""
        for gpu in (0, 1):
            mine = state if gpu == 0 else State()
            own = f'uuid="GPU-{one.name}-{node + 1}{gpu}"'
            yield f"{c.GPU_UP}{{{own}}} {mine.gpu:g}"
            yield f"{c.GPU_RECOVERY_ACTION}{{{own}}} {mine.recovery:g}"
            if mine.xid:
                told = self.clock.begun + one.piece(node, played).start
                yield f'{c.GPU_XID_LAST}{{{own},xid="{mine.xid:g}"}} {told:.0f}'
            if mine.gpu:
                yield f'{c.GPU_CLOCK}{{{own},domain="sm"}} {1.98e9 * mine.clock:.0f}'
                yield f'{c.GPU_CLOCK_MAX}{{{own},domain="sm"}} 1980000000'
                yield f'{c.GPU_CLOCK_LIMITED}{{{own},reason="hardware_thermal"}} {float(mine.clock < 1):g}'

    def _service(self, played: float) -> Iterator[str]:
        """Pools as the service sees them: recommendation and exclusion are those of the first replica's stretch."""
        yield f"{c.INGEST_LAG} 60"
        for one in self.cast:
            state = one.piece(0, played).state
            yield f'{c.RECOMMENDED_NODES}{{pool="{one.name}"}} {max(state.recommended, one.nodes):g}'
            for objective in self.spec.objectives:
                if objective.pool == one.name:
                    own = f'objective="{objective.id}",pool="{one.name}"'
                    yield f"{c.BUDGET_REMAINING}{{{own}}} 0.6"
                    yield f"{c.COVERAGE}{{{own}}} 1"
                    yield f"{c.EXCLUDED}{{{own}}} {state.excluded:g}"

    def history(self) -> Iterator[str]:
        """OpenMetrics text of the calm before the curtain: raw series coarsely, recorded ones as often as rules run."""
        for instance, (one, node) in self.nodes.items():
            if one.piece(node, -1).state.exporter:
                for line in self._node(one, node, 0, one.piece(node, -1).state):
                    yield from self._past(line, one, node, instance)
        for objective in self.spec.objectives:
            one = next(one for one in self.cast if one.name == objective.pool)
            good, total = one.requests(objective.indicator.kind, -60, 0)
            own = f'{{objective="{objective.id}",pool="{objective.pool}"}}'
            for name, rate in ((recorded.GOOD_RATE, good / 60), (recorded.TOTAL_RATE, total / 60)):
                for moment in _moments(FINE):
                    yield f"{name}{own} {rate:g} {self.clock.wall(moment):.3f}"
        yield "# EOF"

    def _past(self, line: str, one: Incident, node: int, instance: str) -> Iterator[str]:
        """A line of a calm page at every moment of history: counters have grown towards it, gauges stood still."""
        sample, _, value = line.rpartition(" ")
        name, _, labels = sample.rstrip("}").partition("{")
        whole = f'{name}{{job="plimsoll",instance="{instance}",{labels}}}'
        counted = any(name.endswith(end) for end in ("_total", "_bucket", "_count"))
        for moment in _moments(COARSE):
            shown = int(float(value) * (1 + moment / HISTORY) + 1e-6) if counted else value
            yield f"{whole} {shown} {self.clock.wall(moment):.3f}"

    @contextmanager
    def served(self) -> Iterator[str]:
        """Serve every page at /INSTANCE of one loopback port; gives the address."""
        with serving(lambda path, body: self.page(path.strip("/"), self.clock.played())) as address:
            yield address


def _moments(every: float) -> list[float]:
    return [-HISTORY + every * step for step in range(int(HISTORY / every))]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A scraper that hangs up is counted as a late scrape by Prometheus itself."""


@contextmanager
def serving(answer: Callable[[str, bytes], str | None]) -> Iterator[str]:
    """Serve what `answer` makes of path and body on a free loopback port (None: 503); gives the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            text = answer(self.path, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            body = (text or "").encode()
            self.send_response(503 if text is None else 200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

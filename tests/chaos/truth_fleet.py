"""The fleet of a chaos run: engines that speak as vLLM 0.32 does, and know to the request what each page said."""

import json
import random
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from stack import free_port

# Of an objective: good and total requests since the process began.
Counts = dict[str, tuple[int, int]]
KINDS = ("ttft", "plugin", "tpot", "e2e", "availability", "goodput")
PLUGIN = ("plugin", "goodput")  # kinds that the vLLM plugin counts per request


@dataclass
class Counters:
    """What one process of an engine counted."""

    start: float
    finished: int = 0
    failed: int = 0
    single: int = 0  # requests with one output token: they have no time per output token
    good: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    def truth(self) -> Counts:
        """Good and total by kind of objective."""
        totals = dict.fromkeys(KINDS, self.finished) | {"tpot": self.finished - self.single}
        return {kind: (self.good[kind], totals[kind]) for kind in KINDS}


class Engine:
    """One replica. `slow` is the ratio of requests that miss the TTFT limit; `waiting` and `cache` are gauges."""

    def __init__(self, name: str, pool: str, seed: int) -> None:
        self.name, self.pool = name, pool
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.slow, self.waiting, self.cache = 0.001, 0, 0.1
        self.hung = threading.Event()
        self.pages: dict[tuple[float, int], Counts] = {}  # (start, finished) of each page served -> what was true then
        self.ever: dict[str, tuple[int, int]] = dict.fromkeys(KINDS, (0, 0))  # of all processes together
        self.starts: list[float] = []
        self._random = random.Random(seed)  # noqa: S311 - no secret
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._now = Counters(0.0)

    @property
    def up(self) -> bool:
        """Whether its process serves."""
        return self._server is not None and not self.hung.is_set()

    def start(self) -> None:
        """Begin a process: counters start at 0."""
        if self._server is not None:
            return
        with self._lock:
            self._now = Counters(round(time.time(), 2))
            self.starts.append(self._now.start)
        self.hung.clear()
        engine = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if engine.hung.is_set():
                    engine.wait_while_hung()
                text = engine.page() if self.path == "/metrics" else json.dumps({"version": "0.32.0"})
                body = text.encode()
                self.send_response(200 if self.path in ("/metrics", "/version") else 404)
                self.send_header("Content-Type", "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent."""

        self._server = _Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def kill(self) -> None:
        """End the process: connections are refused, its counters are lost."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None
        self.hung.clear()

    def wait_while_hung(self) -> None:
        """Answer nothing, as a stopped process."""
        server = self._server
        while self.hung.is_set() and self._server is server:
            time.sleep(0.1)

    def serve(self, requests: int) -> None:
        """Finish some requests, if the process runs."""
        if not self.up:
            return
        with self._lock:
            before = self._now.truth()
            for _ in range(requests):
                self._finish()
            for kind, (good, total) in self._now.truth().items():
                had, of = self.ever[kind]
                self.ever[kind] = had + good - before[kind][0], of + total - before[kind][1]

    def _finish(self) -> None:
        chance, now = self._random.random, self._now
        failed, single = chance() < 0.0005, chance() < 0.05
        fast, smooth, short = chance() >= self.slow, chance() >= 0.001, chance() >= 0.001
        now.finished += 1
        now.failed += failed
        now.single += single
        now.good["availability"] += not failed
        now.good["ttft"] += fast
        now.good["plugin"] += fast
        now.good["tpot"] += smooth and not single
        now.good["e2e"] += short
        now.good["goodput"] += fast and short and not failed

    def page(self) -> str:
        """The metrics page as of now; what it says is remembered."""
        with self._lock:
            self.pages[self._now.start, self._now.finished] = self._now.truth()
            return "\n".join(self._lines(self._now)) + "\n"

    def _lines(self, now: Counters) -> list[str]:
        labels = f'engine="0",model_name="{self.pool}-model"'
        histograms = {
            "vllm:time_to_first_token_seconds": {"0.6": now.good["ttft"]},
            "vllm:request_time_per_output_token_seconds": {"0.04": now.good["tpot"] + now.single},
            "vllm:e2e_request_latency_seconds": {"4.0": now.good["e2e"]},
            "vllm:request_generation_tokens": {"1.0": now.single},
        }
        lines = [f"process_start_time_seconds {now.start!r}"]
        for name, value in (
            ("num_requests_running", 2),
            ("num_requests_waiting", self.waiting),
            ("kv_cache_usage_perc", self.cache),
            ("num_preemptions_total", 0),
            ("prompt_tokens_total", now.finished * 100),
            ("generation_tokens_total", now.finished * 20),
        ):
            lines.append(f"vllm:{name}{{{labels}}} {value}")
        for reason, count in (("stop", now.finished - now.failed), ("length", 0), ("error", now.failed), ("abort", 0)):
            lines.append(f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {count}')
        for name, buckets in histograms.items():
            for bound, count in (*buckets.items(), ("+Inf", now.finished)):
                lines.append(f'{name}_bucket{{{labels},le="{bound}"}} {count}')
            lines += [f"{name}_sum{{{labels}}} {now.finished}", f"{name}_count{{{labels}}} {now.finished}"]
        for kind in PLUGIN:
            good, total = now.truth()[kind]
            for outcome, count in (("good", good), ("bad", total - good)):
                own = f'objective="{self.pool}-{kind}",outcome="{outcome}"'
                lines.append(f"llm_objective_requests_total{{{labels},{own}}} {count}")
        return lines


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that left is no error of ours."""


class Fleet:
    """All engines, and per second what they had counted by then."""

    def __init__(self, engines: dict[str, Engine], per_second: int) -> None:
        self.engines = engines
        self.history: list[tuple[float, dict[tuple[str, str], tuple[int, int]]]] = []
        self.longest_down = dict.fromkeys(engines, 0.0)  # seconds at a stretch without an answer
        self._down_since: dict[str, float] = {}
        self._per_second = per_second
        self._done = threading.Event()

    def start(self) -> None:
        """Start every engine, and the requests."""
        for engine in self.engines.values():
            engine.start()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self._done.wait(1):
            for engine in self.engines.values():
                engine.serve(self._per_second)
                self._note(engine)
            self.history.append((time.time(), self.counted()))

    def _note(self, engine: Engine) -> None:
        if engine.up:
            self._down_since.pop(engine.name, None)
        else:
            since = self._down_since.setdefault(engine.name, time.time())
            self.longest_down[engine.name] = max(self.longest_down[engine.name], time.time() - since)

    def counted(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Good and total so far by (pool, kind)."""
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for engine in self.engines.values():
            for kind, (good, total) in engine.ever.items():
                had, of = found.get((engine.pool, kind), (0, 0))
                found[engine.pool, kind] = had + good, of + total
        return found

    def end(self) -> None:
        """No more requests, no more pages."""
        self._done.set()
        for engine in self.engines.values():
            engine.kill()

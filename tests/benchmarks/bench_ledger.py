"""How fast the ledger answers and books, and how long a Prometheus takes over the same question.

    .venv/bin/python tests/benchmarks/bench_ledger.py [--objectives 1000] [--days 90] [--postgresql] [--rounds 200]

Prints medians and 99th percentiles of the API over HTTP on loopback, of a minute's ingest of all objectives, and of `increase(...[30d])` in a real Prometheus over one objective's recorded samples.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import uvicorn
from sqlalchemy import text

from plimsoll.compose.listen import open_socket
from plimsoll.exporters.gc_tuning import freeze_objects
from plimsoll.slo.calendar import SLOT
from plimsoll.slo.ledger.database import open_database, writing
from plimsoll.slo.ledger.schema import pool_progress, progress
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.metrics import OBJECTIVE_REQUESTS, REPLICA_START
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import Spec, load
from postgresql import PostgreSQL
from recorded import Recorded
from stack import Prometheus

PER_POOL, REPLICAS, SCRAPE = 10, 4, 15
NOW = 1_763_683_200 + 1800.0  # 2025-11-21 00:30 UTC
DAY = 86400
ENDLESS = {"reads": "100000/second"}


def spec_of(objectives: int) -> Spec:
    """Return pools of ten objectives each."""
    lines = ["version: plimsoll/v1", "pools:"]
    for pool in range(-(-objectives // PER_POOL)):
        lines.append(
            f"  - {{name: p{pool}, model: m{pool}, node: {{gpu: g, gpus: 1}}, nodes: {{min: 1, max: 9}}, "
            "timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}"
        )
    lines.append("objectives:")
    lines += [
        f"  - {{id: o{n}, pool: p{n // PER_POOL}, indicator: {{time_to_first_token: 600ms}}, target: 99%, window: 30d}}"
        for n in range(objectives)
    ]
    return load("\n".join(lines))


def fill(ledger: Ledger, spec: Spec, days: int) -> None:
    """Write every slot by SQL, as `days` of booking would have left them, and sum them up."""
    end = int(NOW) // SLOT * SLOT
    begin = end - days * DAY
    numbers = f"""
        WITH RECURSIVE n(slot) AS (SELECT {begin} UNION ALL SELECT slot + {SLOT} FROM n WHERE slot + {SLOT} < {end})
        INSERT INTO slots (objective, slot, good, total, covered_ms, spec_hash, source)
        SELECT :objective, slot, 290 + slot / {SLOT} % 10, 300, 300000, 'bench', 'request' FROM n"""  # noqa: S608 - numbers
    roll = """
        INSERT INTO rollups (objective, size, start, good, total, covered_ms, simulated)
        SELECT objective, {size}, slot - slot % {size}, SUM(good), SUM(total), SUM(covered_ms), 0
        FROM slots WHERE objective = :objective GROUP BY objective, slot - slot % {size}"""
    for objective in spec.objectives:
        with writing(ledger.engine) as connection:
            connection.execute(text(numbers), {"objective": objective.id})
            for size in (3600, DAY):
                connection.execute(text(roll.format(size=size)), {"objective": objective.id})
            connection.execute(progress.insert().values(objective=objective.id, recorded_until=end - 1200))
    with writing(ledger.engine) as connection:
        for pool in spec.pools:
            connection.execute(pool_progress.insert().values(pool=pool.name, recorded_until=end - 1200))
    if ledger.engine.dialect.name == "postgresql":
        with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def samples(spec: Spec) -> Recorded:
    """The last 40 minutes of every replica's counters."""
    times = [NOW - 2400 + SCRAPE * i for i in range(2400 // SCRAPE + 1)]
    found = []
    for pool in spec.pools:
        for replica in range(REPLICAS):
            labels = {"replica": f"r{replica}", "model": pool.model, "engine": "vllm", "instance": "n:9800"}
            found.append(Series(REPLICA_START.name, labels, [(at, NOW - DAY) for at in times]))
            for objective in (item.id for item in spec.objectives if item.pool == pool.name):
                for outcome, rate in (("good", 99), ("bad", 1)):
                    mine = {**labels, "rank": "0", "objective": objective, "outcome": outcome}
                    values = [(at, float(i * rate)) for i, at in enumerate(times)]
                    found.append(Series(OBJECTIVE_REQUESTS.name, mine, values))
    return Indexed(found)


class Indexed(Recorded):
    """Finds series by name and first label value, as any real source does."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._by: dict[tuple[str, str], list[int]] = {}
        for index, item in enumerate(self.recorded):
            for key in (item.labels["model"], item.labels.get("objective", "")):
                self._by.setdefault((item.name, key), []).append(index)

    def series(self, selectors, start, end):  # type: ignore[no-untyped-def]
        found = []
        for selector in selectors:
            wanted = dict(selector.labels)
            key = (wanted.get("objective") or wanted.get("model") or ("",))[0]
            chosen = Recorded([self.recorded[i] for i in self._by.get((selector.name, key), [])])
            found += chosen.series([selector], start, end)
        return found


def timed(work: Callable[[], object], rounds: int) -> list[float]:
    """Return the milliseconds of each round, sorted."""
    found = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        found.append((time.perf_counter() - start) * 1000)
    return sorted(found)


def say(what: str, found: list[float], limit: str = "") -> float:
    """Print median and 99th percentile of sorted milliseconds; return the median."""
    p99 = found[min(len(found) - 1, round(0.99 * len(found)))]
    middle = statistics.median(found)
    print(f"{what:<58} median {middle:9.2f} ms   p99 {p99:9.2f} ms   n {len(found):4}   {limit}", flush=True)
    return middle


@contextmanager
def serving(service: Service) -> Iterator[str]:
    """Serve the API on loopback, without the jobs; gives its URL."""
    app = create_app(service, limits=ENDLESS)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    with open_socket("127.0.0.1", 0, None, "") as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def bench(url: str, spec: Spec, days: int, rounds: int, stack: ExitStack) -> float:
    """Fill a database and time everything about it; return the median of one budget in milliseconds."""
    engine = open_database(url)
    service = Service(spec, samples(spec), Ledger(engine), clock=lambda: NOW)
    start = time.perf_counter()
    fill(service.ledger, spec, days)
    print(
        f"{engine.dialect.name}: {len(spec.objectives)} objectives x {days} days filled in {time.perf_counter() - start:.0f} s"
    )
    say("a minute's ingest of all, and evaluating them", timed(service.ingest, 4), "target 10,000 ms")
    assert not service.runs.errors, service.runs.errors
    say("evaluating all objectives again", timed(service.evaluate, 5))
    server = stack.enter_context(serving(service))
    client = stack.enter_context(httpx.Client(base_url=server))
    freeze_objects()  # as `plimsoll serve` does
    ids = [item.id for item in spec.objectives]
    numbers = iter(range(10**6))

    def get(path: str) -> None:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text

    get("/api/v1/slos")
    say("GET /api/v1/slos (all objectives)", timed(lambda: get("/api/v1/slos"), rounds), "target p99 50 ms")
    one = timed(lambda: get(f"/api/v1/slos/{ids[next(numbers) * 7 % len(ids)]}"), rounds)
    say("GET /api/v1/slos/ID (one budget)", one, "target p99 20 ms")
    past = "2025-11-10T00:00:00Z"
    at = timed(lambda: get(f"/api/v1/slos/{ids[next(numbers) * 7 % len(ids)]}?at={past}"), min(rounds, 20))
    say("GET /api/v1/slos/ID?at= (evaluated again)", at)
    history = timed(lambda: get(f"/api/v1/slos/{ids[next(numbers) * 7 % len(ids)]}/budget"), rounds)
    say("GET /api/v1/slos/ID/budget (with 288 points of history)", history, "target p99 20 ms")
    fresh = timed(lambda: service.ledger.segments([int(NOW) // 300 * 300 - 30 * DAY, int(NOW)], [ids[0]]), rounds)
    say("the ledger's own query: 30 days of one objective", fresh)
    return statistics.median(one)


def openmetrics(days: int, step: int) -> Iterator[str]:
    """One objective's counters on 4 replicas."""
    name = OBJECTIVE_REQUESTS.name
    yield f"# TYPE {name.removesuffix('_total')} counter\n"
    for replica in range(REPLICAS):
        for outcome, rate in (("good", 99), ("bad", 1)):
            labels = f'replica="r{replica}",model="m0",objective="o0",outcome="{outcome}"'
            for i in range(days * DAY // step):
                yield f"{name}{{{labels}}} {i * rate} {NOW - days * DAY + i * step:.3f}\n"
    yield "# EOF\n"


def prometheus(rounds: int) -> float:
    """Time `increase(...[30d])` in a real Prometheus; return the median in milliseconds."""
    server = Prometheus(interval="1h")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page"
        with page.open("w") as file:
            file.writelines(openmetrics(31, SCRAPE))
        subprocess.run(
            [
                "promtool",
                "tsdb",
                "create-blocks-from",
                "openmetrics",
                "--max-block-duration=744h",
                page,
                server.folder / "data",
            ],
            check=True,
            capture_output=True,
        )
    arguments = server.arguments
    server.arguments = lambda: [*arguments(), "--storage.tsdb.retention.time=10y"]  # type: ignore[method-assign]
    query = f'sum by (outcome) (increase({OBJECTIVE_REQUESTS}{{objective="o0"}}[30d]))'
    with server as running:
        assert running.query(query, NOW)
        return say(f"Prometheus: {query[:44]}...", timed(lambda: running.query(query, NOW), rounds))


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objectives", type=int, default=1000)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--postgresql", action="store_true", help="PostgreSQL in place of SQLite")
    options = parser.parse_args()
    spec = spec_of(options.objectives)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url = f"sqlite:///{folder}/ledger.db"
        if options.postgresql:
            url = stack.enter_context(PostgreSQL()).database()
        ours = bench(url, spec, options.days, options.rounds, stack)
    theirs = prometheus(20)
    print(json.dumps({"prometheus_ms": theirs, "ledger_ms": ours, "times_faster": round(theirs / ours)}))


if __name__ == "__main__":
    main()

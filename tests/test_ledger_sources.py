"""The same recorded samples give the same ledger, whoever kept them: a real Prometheus, a real VictoriaMetrics."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import pool_world
from slo.indicators import Selector
from slo.ledger.database import open_database
from slo.ledger.ingest import ingest
from slo.ledger.pools import pool_rows
from slo.ledger.store import Ledger
from slo.sources import Series, SourceError
from slo.sources.prometheus import PrometheusSource
from stack import Prometheus, Server
from test_ledger import END, T0, WORLD, rows
from test_ledger_pools import BUSY, SLOTS, count
from world import MODEL, spec

Opener = Callable[[str], Ledger]
EVERYTHING = [
    Selector(name, (("model", (MODEL,)),)) for name in dict.fromkeys(item.name for item in WORLD.all_series())
]


class VictoriaMetrics(Server):
    """A real VictoriaMetrics, one process, that keeps samples of any age."""

    def __init__(self) -> None:
        super().__init__("victoria-metrics")

    def arguments(self) -> list[str]:
        """Loopback only."""
        return [
            f"-storageDataPath={self.folder / 'data'}",
            f"-httpListenAddr=127.0.0.1:{self.port}",
            "-retentionPeriod=100y",
        ]

    def _ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=1).is_success
        except httpx.TransportError:
            return False


def lines(series: list[Series], milliseconds: bool) -> Iterator[str]:
    """The samples in the text format: Prometheus' own has time in milliseconds, OpenMetrics in seconds."""
    for item in series:
        labels = ",".join(f'{name}="{value}"' for name, value in item.labels.items())
        for at, value in item.samples:
            yield f"{item.name}{{{labels}}} {value!r} {round(at * 1000) if milliseconds else f'{at:.3f}'}\n"


def everything() -> list[Series]:
    """The requests of one world and a whole pool of another, in the same two hours."""
    return [*WORLD.all_series(), *BUSY.series()]


def victoria_metrics() -> Server:
    server = VictoriaMetrics()
    server.start()
    page = "".join(lines(everything(), milliseconds=True))
    httpx.post(f"{server.url}/api/v1/import/prometheus", content=page, timeout=30).raise_for_status()
    httpx.get(f"{server.url}/internal/force_flush", timeout=30).raise_for_status()
    return server


def prometheus() -> Server:
    server = Prometheus(interval="1h")
    page = server.folder / "page"
    page.write_text("".join([*lines(everything(), milliseconds=False), "# EOF\n"]))
    made = [
        str(part) for part in ("promtool", "tsdb", "create-blocks-from", "openmetrics", page, server.folder / "data")
    ]
    subprocess.run(made, check=True, capture_output=True)
    arguments = server.arguments()
    server.arguments = lambda: [*arguments, "--storage.tsdb.retention.time=100y"]  # type: ignore[method-assign]
    server.start()
    return server


@pytest.fixture(
    scope="module",
    params=[pytest.param(prometheus, marks=pytest.mark.prometheus), pytest.param(victoria_metrics)],
    ids=["prometheus", "victoriametrics"],
)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    running: Server = request.param()
    yield running
    running.__exit__()


@pytest.fixture
def source(server: Server) -> Iterator[PrometheusSource]:
    with httpx.Client(timeout=30) as client:
        yield PrometheusSource(server.url, client)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    ledger = Ledger(open_database(f"sqlite:///{tmp_path_factory.mktemp('truth')}/ledger.db"))
    ingest(spec(), WORLD, ledger, END)
    found = rows(ledger)
    ledger.engine.dispose()
    return found


def key(item: Series) -> tuple[str, str]:
    return item.name, str(sorted(item.labels.items()))


def test_samples_come_back_as_they_were_scraped_with_start_excluded_and_end_included(source: PrometheusSource) -> None:
    start, end = T0 + 1005, T0 + 1200
    given = source.series(EVERYTHING, start, end)
    assert sorted(given, key=key) == sorted(WORLD.series(EVERYTHING, start, end), key=key)
    assert (T0 + 1005, T0 + 1200) in {(item.samples[0][0] - 15, item.samples[-1][0]) for item in given}


def test_how_long_a_server_remembers_is_told_where_it_tells(source: PrometheusSource, server: Server) -> None:
    told = None if isinstance(server, VictoriaMetrics) else 100 * 365 * 86400
    assert source.retention() == told


def test_the_ledger_is_the_same_in_one_go_or_step_by_step(
    source: PrometheusSource, tmp_path: Path, open_ledger: Opener, truth: list[tuple[object, ...]]
) -> None:
    at_once = open_ledger(f"sqlite:///{tmp_path}/once.db")
    ingest(spec(), source, at_once, END)
    assert rows(at_once) == truth
    stepwise = open_ledger(f"sqlite:///{tmp_path}/steps.db")
    for now in range(int(T0), int(END) + 1, 600):
        ingest(spec(), source, stepwise, now)
        if now == int(T0) + 3600:  # away for a while; then everything is caught up with
            with httpx.Client() as client, pytest.raises(SourceError, match="no answer from Prometheus' API"):
                ingest(spec(), PrometheusSource("http://127.0.0.1:9", client), stepwise, now + 300)
    assert rows(stepwise) == truth


def test_what_a_pool_did_is_the_same_whoever_kept_the_samples(
    source: PrometheusSource, tmp_path: Path, open_ledger: Opener
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ingest(pool_world.SPEC, source, ledger, END)
    assert pool_rows(ledger.engine, "pool", SLOTS[0], SLOTS[-1] + 1) == count(BUSY)


def test_the_beginning_of_what_is_kept_is_found_within_an_hour(source: PrometheusSource) -> None:
    first = WORLD.earliest(0, END)
    found = source.earliest(END - 28 * 86400, END)
    assert first - 2 * 3600 - 1 <= found <= first


def test_a_name_that_tries_promql_selects_nothing_and_breaks_nothing(source: PrometheusSource) -> None:
    for attack in ('m"} or vector(1) #', "m\\", 'm"}[5m]) or up{x="', "m\n", "{{.}}", "m\u2028"):
        selector = Selector(EVERYTHING[0].name, (("model", (attack,)),))
        assert source.series([selector], T0, END) == []
        either = Selector(EVERYTHING[0].name, (("model", (attack, ".*")),))
        assert source.series([either], T0, END) == []

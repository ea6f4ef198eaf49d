"""The same recorded samples give the same ledger, whoever kept them: a real Prometheus, a real VictoriaMetrics."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

import pool_world
from histogram_world import Life, scraped
from ledger_world import END, T0, WORLD, rows
from page import Page
from plimsoll.compose.serving import wanted
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.ingest import Recorded as Progress
from plimsoll.slo.ledger.ingest import ingest
from plimsoll.slo.ledger.scrape_source import ScrapeSource
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.ledger.usage import pool_rows
from plimsoll.slo.sources import Series, SourceError
from plimsoll.slo.sources.batches import Batch
from plimsoll.slo.sources.prometheus import Key, PrometheusSource
from plimsoll.slo.sources.recent import OVERLAP, RecentSource
from plimsoll.slo.sources.samples import Line
from plimsoll.slo.sources.selector import Selector
from plimsoll.slo.spec.objectives import load
from pool_slots import BUSY, SLOTS, count
from promtool import series as series_text
from recorded import Recorded
from stack import Server
from stored_world import lines, stored_in_prometheus
from world import MODEL, SPEC_TEXT, spec

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


def histograms() -> list[Series]:
    """An hour of a model's engines whose limit is a bound of one, of another since its restart, and of a third not at all."""
    requests: list[tuple[float, float | None]] = [(T0 + 2.0 * i, i * 37 % 100 / 100) for i in range(1800)]
    restart = T0 + 1799.0
    fleet = {
        "exact": [Life(T0 - 9000, (0.25, 0.6), requests)],
        "mended": [
            Life(T0 - 9000, (0.5, 0.75), requests),
            Life(restart, (0.5, 0.6, 0.75), [one for one in requests if one[0] > restart]),
        ],
        "off": [Life(T0 + 100, (0.1, 0.55, 2.5), [one for one in requests if one[0] > T0 + 100])],
    }
    return scraped(fleet, [T0 + 15.0 * i for i in range(245)], model="h")


OFF_BUCKET = load(
    SPEC_TEXT.replace("model: m", "model: h").replace("target: 95%", "target: 95%, bucket_mismatch: bounds")
)


def numbers(ledger: Ledger) -> list[tuple[object, ...]]:
    return [
        (s.slot, s.good, s.indeterminate, s.total, s.covered_seconds, s.source) for s in ledger.slots("fast", 0, 1e12)
    ]


def everything() -> list[Series]:
    """The requests of one world, a whole pool of another, and histograms, in the same two hours."""
    return [*WORLD.all_series(), *BUSY.series(), *histograms()]


def victoria_metrics() -> Server:
    server = VictoriaMetrics()
    server.start()
    page = "".join(lines(everything(), milliseconds=True))
    httpx.post(f"{server.url}/api/v1/import/prometheus", content=page, timeout=30).raise_for_status()
    httpx.get(f"{server.url}/internal/force_flush", timeout=30).raise_for_status()
    return server


def prometheus() -> Server:
    return stored_in_prometheus(everything())


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
    with closing(PrometheusSource(server.url)) as opened:
        yield opened


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
            absent = PrometheusSource("http://127.0.0.1:9")
            with closing(absent), pytest.raises(SourceError, match="no response from the Prometheus API"):
                ingest(spec(), absent, stepwise, now + 300)
    assert rows(stepwise) == truth


def test_the_ledger_is_the_same_where_only_what_is_new_is_read(
    source: PrometheusSource,
    tmp_path: Path,
    open_ledger: Opener,
    truth: list[tuple[object, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger, recent, progress, spans = (
        open_ledger(f"sqlite:///{tmp_path}/ledger.db"),
        RecentSource(source),
        dict[str, Progress](),
        list[float](),
    )
    read = source.read

    def noted(batch: Batch, start: float, end: float, *more: Any) -> dict[Selector, dict[Key, Line]]:
        spans.append(end - start)
        return read(batch, start, end, *more)

    monkeypatch.setattr(source, "read", noted)
    for now in range(int(T0), int(END) + 1, 60):
        ingest(spec(), recent, ledger, now, progress)
    assert rows(ledger) == truth
    late = spans[len(spans) // 2 :]  # after an hour no selector is read in full: the source counts what is held
    assert late and max(late) == OVERLAP + 60


def test_what_a_pool_did_is_the_same_whoever_kept_the_samples(
    source: PrometheusSource, tmp_path: Path, open_ledger: Opener
) -> None:
    ledger = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ingest(pool_world.SPEC, source, ledger, END)
    assert pool_rows(ledger.engine, "pool", SLOTS[0], SLOTS[-1] + 1) == count(BUSY)


def test_what_lies_between_two_bounds_is_the_same_whoever_kept_the_samples(
    source: PrometheusSource, tmp_path: Path, open_ledger: Opener
) -> None:
    truth, found = open_ledger(f"sqlite:///{tmp_path}/truth.db"), open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    ingest(OFF_BUCKET, Recorded(histograms()), truth, END)
    ingest(OFF_BUCKET, source, found, END)
    assert numbers(found) == numbers(truth)
    assert sum(slot.indeterminate for slot in found.slots("fast", 0, 1e12)) > 500
    assert {slot.source for slot in found.slots("fast", 0, 1e12)} == {"bounds+exact_bucket"}


def test_and_scraped_directly_it_is_the_same_too(tmp_path: Path, open_ledger: Opener) -> None:
    truth, ledger = open_ledger(f"sqlite:///{tmp_path}/truth.db"), open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    series, now = histograms(), 0.0
    ingest(OFF_BUCKET, Recorded(series), truth, END)
    shown = [(item, dict(item.samples)) for item in series]
    pages = {name: Page() for name in ("exact", "mended", "off")}
    with ExitStack() as stack:
        urls = [f"http://{stack.enter_context(page.served())}" for page in pages.values()]
        direct = ScrapeSource(urls, ledger.engine, wanted(OFF_BUCKET), clock=lambda: now)
        stack.enter_context(closing(direct))
        for now in sorted({at for item in series for at, _ in item.samples}):
            for name, page in pages.items():
                at_once = [(item, at[now]) for item, at in shown if item.labels["replica"] == name and now in at]
                page.text = "".join(f"{sample(item)} {value!r}\n" for item, value in at_once)
            direct.scrape()
            if now % 300 == 0:
                ingest(OFF_BUCKET, direct, ledger, now)
        ingest(OFF_BUCKET, direct, ledger, now)
    assert numbers(ledger) == numbers(truth)


def sample(item: Series) -> str:
    """Name and labels as an exporter writes them: it does not say where it is."""
    return series_text(item.name, {name: value for name, value in item.labels.items() if name != "instance"})


def test_the_beginning_of_what_is_kept_is_found_within_two_minutes(source: PrometheusSource) -> None:
    first = WORLD.earliest(0, END)
    found = source.earliest(END - 28 * 86400, END)
    assert first - 120 - 1 <= found <= first


def test_a_name_that_tries_promql_selects_nothing_and_breaks_nothing(source: PrometheusSource) -> None:
    for attack in ('m"} or vector(1) #', "m\\", 'm"}[5m]) or up{x="', "m\n", "{{.}}", "m\u2028"):
        selector = Selector(EVERYTHING[0].name, (("model", (attack,)),))
        assert source.series([selector], T0, END) == []
        either = Selector(EVERYTHING[0].name, (("model", (attack, ".*")),))
        assert source.series([either], T0, END) == []


def test_a_query_has_a_result_in_the_slots_that_hold_its_moments(source: PrometheusSource) -> None:
    """A slot holds its end and not its start."""
    begin = int(T0)
    during = f"vector(time()) > {begin + 300} <= {begin + 630}"
    assert source.slots_with_result(during, begin - 300, begin + 1200) == [begin + 300, begin + 600]
    assert source.slots_with_result(during, begin + 600, begin + 900) == [begin + 600]
    assert source.slots_with_result("vector(0)", begin, begin + 900) == []
    assert source.slots_with_result("absent_metric == 1", begin, begin + 900) == []
    with pytest.raises(SourceError, match="rejected"):
        source.slots_with_result("1 +", begin, begin + 900)

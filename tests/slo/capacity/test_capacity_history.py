"""A pool's traffic rebuilt from its counters: as many requests as came, when and how long; gaps are told and never idle time."""

import json
import subprocess
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

import pytest

from backfill import Backfill, PastPrometheus
from fits import measured
from plimsoll.slo import metrics as c
from plimsoll.slo.capacity.backtest.traffic_history import READ, History, HistoryError, Part, parts, rebuilt, selectors
from plimsoll.slo.sli.increments import MAX_GAP
from plimsoll.slo.sources import Series
from plimsoll.slo.spec.objectives import load
from pool_world import MODEL, Ask, Life, PoolWorld, Sample, asks
from process import PLIMSOLL, rejected
from recorded import Recorded
from world import SPEC_TEXT

START = 1_763_600_400.0  # on the hour
END = START + 4500.0  # an hour and a quarter: two parts
TEXT = SPEC_TEXT.replace("model: m\n", f"model: {MODEL}\n").replace("gpus: 1", "gpus: 4, hourly_usd: 8.0")
TEXT += "  - {id: all-of-it, pool: pool, indicator: {goodput: {ttft: 2s, tpot: 200ms, e2e: 60s}}, target: 90%, window: 28d}\n"
POOL = load(TEXT).pools[0]
BOUNDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]


class World(PoolWorld):
    """A pool that tells lengths, too."""

    def pages(self, replica: str) -> list[tuple[float, list[Sample]]]:
        found = []
        for at, samples in super().pages(replica):
            life = self.alive(replica, at)
            done = (
                [ask for ask in life.asks if ask.end <= at and ask.how in ("stop", "length", "error")] if life else []
            )
            more: list[Sample] = []
            for metric, values in (
                (c.PROMPT_LENGTH, [a.prompt for a in done]),
                (c.GENERATION_LENGTH, [a.generated for a in done]),
            ):
                rank = (("rank", "0"), ("engine", "vllm"), ("model", MODEL), ("replica", replica))
                values.sort()
                more += [
                    (metric.bucket, (("le", f"{bound}.0"), *rank), bisect_right(values, bound)) for bound in BOUNDS
                ]
                more += [(metric.bucket, (("le", "+Inf"), *rank), len(values)), (metric.sum, rank, sum(values))]
            found.append((at, [*samples, *more]))
        return found


def every(since: float, until: float, but: tuple[float, float] = (0, 0)) -> list[float]:
    return [
        since + 15.0 * index
        for index in range(int((until - since) // 15) + 1)
        if not but[0] < since + 15.0 * index < but[1]
    ]


def world(but: tuple[float, float] = (0, 0)) -> World:
    """Two replicas, one from the middle on; a burst in which requests wait, are rejected and leave; read every 15 s."""
    burst = (START + 900, START + 1100)
    lives = {
        "a": [Life(START - 5e5, asks(1, START - 500, END, 1.5, burst))],
        "b": [Life(START + 1805, [ask for ask in asks(2, START + 1805, END, 1.0)])],
    }
    return World(lives, dict.fromkeys(lives, every(START - 300, END, but)))


def read(series: Sequence[Series]) -> list[Part]:
    """Read as the command does: an hour at a time, with what it needs before."""
    source = Recorded(list(series))
    found: list[Part] = []
    for begin in (START, START + READ):
        until = min(END, begin + READ)
        found += parts(source.series(selectors(POOL), begin - MAX_GAP, until), begin, until)
    return found


def history(told: World | Sequence[Series]) -> History:
    return rebuilt(read(told.series() if isinstance(told, World) else told), START, END)


def came(told: World, since: float = START, until: float = END) -> list[Ask]:
    return [ask for lives in told.lives.values() for life in lives for ask in life.asks if since < ask.arrive <= until]


@pytest.fixture(scope="module")
def plain() -> World:
    return world()


def test_every_request_that_came_is_there_in_the_slot_in_which_it_came(plain: World) -> None:
    found = history(plain)
    assert (found.observed, found.gaps, found.slot, found.simulated) == (1.0, [], 15.0, False)
    assert len(found.arrivals) == len(came(plain))
    slots = Counter(int(row.time // 15) for row in found.arrivals)
    assert slots == Counter(-int(-(ask.arrive - START) // 15) - 1 for ask in came(plain))


def test_lengths_have_the_mean_and_the_buckets_of_those_that_finished(plain: World) -> None:
    found = history(plain)
    done = [ask for ask in came(plain, START - 100) if ask.how in ("stop", "length", "error")]
    for mine, true in (
        ([r.prompt for r in found.arrivals], [a.prompt for a in done]),
        ([r.output for r in found.arrivals], [a.generated for a in done]),
    ):
        assert fmean(mine) == pytest.approx(fmean(true), rel=0.02)
        shares = [Counter(bisect_left(BOUNDS, value) for value in values) for values in (mine, true)]
        for bucket in range(len(BOUNDS) + 1):
            assert shares[0][bucket] / len(mine) == pytest.approx(shares[1][bucket] / len(true), abs=0.01)


def test_a_gap_is_cut_out_and_what_came_in_it_is_not_made_up() -> None:
    gap = (START + 2400, START + 2400 + 345)
    told = world(gap)
    found = history(told)
    assert found.gaps == [gap]
    assert found.observed == pytest.approx(1 - 345 / 4500)
    assert len(found.arrivals) == len(came(told, START, gap[0])) + len(came(told, gap[1], END))
    assert found.arrivals[-1].time <= END - START - 345


def test_a_missed_scrape_is_no_gap_and_loses_nothing() -> None:
    told = world((START + 2400, START + 2460))
    found = history(told)
    assert (found.observed, len(found.arrivals)) == (1.0, len(came(told)))


def test_below_nine_tenths_observed_nothing_is_rebuilt() -> None:
    with pytest.raises(HistoryError, match=r"89% of the span was observed .*; the longest gap is 495 s"):
        history(world((START + 2400, START + 2400 + 495)))


def test_time_of_which_one_replica_does_not_tell_is_a_gap_though_others_do(plain: World) -> None:
    def silent(item: Series) -> Series:
        if item.name != c.REQUESTS_WAITING.name or item.labels["replica"] != "b":
            return item
        return item._replace(samples=[one for one in item.samples if not START + 3000 < one[0] <= START + 3300])

    found = history([silent(item) for item in plain.series()])
    ((begin, until),) = found.gaps
    assert (begin, until) == pytest.approx((START + 3000, START + 3315), abs=16)
    assert found.observed < 0.94
    deaf = [item for item in plain.series() if item.name != c.REQUESTS_WAITING.name]
    with pytest.raises(HistoryError, match="no replica reports finished, running, and waiting requests"):
        history(deaf)


def test_without_lengths_nothing_is_rebuilt(plain: World) -> None:
    short = [item for item in plain.series() if not item.name.startswith(c.PROMPT_LENGTH.name)]
    with pytest.raises(HistoryError, match="lengths of requests"):
        history(short)


@pytest.fixture(scope="module")
def prometheus(plain: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PastPrometheus]:
    backfill = Backfill(tmp_path_factory.mktemp("history"))
    backfill.openmetrics(
        f"{item.name}{{{_labels(item)}}} {value} {at:.0f}\n" for item in plain.series() for at, value in item.samples
    )
    with backfill.prometheus() as running:
        yield running


def _labels(item: Series) -> str:
    return ",".join(f"{label}={json.dumps(value)}" for label, value in item.labels.items())


def asked(prometheus: PastPrometheus, file: Path, *more: str) -> list[str]:
    file.write_text(TEXT)
    own = measured(TEXT, file.with_suffix(".json"))
    return ["backtest", "--prometheus", prometheus.url, "--objectives", str(file), "--pool", "pool", *own, *more]


SPAN = ("--from", "2025-11-20T01:00:00Z", "--to", "2025-11-20T03:15:00+01:00")


@pytest.mark.prometheus
def test_a_real_prometheus_gives_the_traffic_and_the_pool_what_it_is_judged_by(
    prometheus: PastPrometheus, plain: World, tmp_path: Path
) -> None:
    command = [*PLIMSOLL, *asked(prometheus, tmp_path / "o.yaml", *SPAN, "--policy", "fixed:1", "--json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    found = json.loads(done.stdout)
    assert found["requests"] == len(came(plain))
    assert f"{found['requests']:,} requests reconstructed from counts per 15 s" in done.stderr
    assert "100.0% of the time was observed." in done.stderr
    assert found["cost_usd"] == pytest.approx(found["node_hours"] * 8.0, abs=0.01), "at the pool's price"
    assert set(found["objectives"]) == {"fast", "all-of-it"}
    assert found["objectives"]["fast"]["target"] == 0.95
    assert 0.9 < found["objectives"]["all-of-it"]["good"] <= 1


@pytest.mark.prometheus
def test_what_a_prometheus_cannot_tell_is_one_line(prometheus: PastPrometheus, tmp_path: Path) -> None:
    file = tmp_path / "o.yaml"
    early = ("--from", "2025-11-19T01:00:00Z", "--to", "2025-11-19T02:00:00Z")
    assert "pool pool: no replica reports finished" in rejected(asked(prometheus, file, *early))
    long = ("--from", "2025-11-20T00:00:00Z", "--to", "2025-11-20T02:15:00Z")
    assert "of the span was observed (required 90%); the longest gap is" in rejected(asked(prometheus, file, *long))
    assert "--from '2025-11-20': no time zone." in rejected(asked(prometheus, file, "--from", "2025-11-20"))
    late = ("--from", "2025-11-20T03:00:00Z", *SPAN[2:])
    assert "--from 2025-11-20T03:00:00Z isn't before --to" in rejected(asked(prometheus, file, *late))
    assert "--prometheus requires --pool NAME" in rejected(["backtest", "--prometheus", prometheus.url])
    assert "no response from the Prometheus API" in rejected(
        ["backtest", "--prometheus", "http://127.0.0.1:9", *asked(prometheus, file)[3:]]
    )

"""Every query of every dashboard on a real Prometheus that scrapes all catalogue metrics in motion, under the real rules."""

import itertools
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from moving_fleet import FOREIGN, LOST, MODEL, OTHER, SPEC, STEADY, UNBORN, Fleet, serve
from plimsoll.alerts.build import render as render_alerts
from plimsoll.dashboards import queries
from plimsoll.dashboards.build import boards
from promql import Query, annotation_queries, complaints, panel_queries, panels, substitute, variable_queries
from stack import Prometheus, scrape, wait_for

# Burn-rate rules sum whole minutes, so some need a minute for a first result. Those over days sum every fifth minute, which
# takes too long here: they are rewritten to sum every minute.
pytestmark = [pytest.mark.prometheus, pytest.mark.slow, pytest.mark.timeout(240)]

BOARDS = {name: json.loads(text) for name, text in boards(SPEC).items()}
RATE = "5s"
DAYS = re.compile(r"300 \* sum_over_time\((.*?):5m\]\)")


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture(scope="module")
def prometheus(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("rules")
    with (
        serve(fleet) as address,
        Prometheus(scrape("exporter", address, region="here", node="this"), rules=_rules(folder)) as prometheus,
    ):
        yield prometheus


def _rules(folder: Path) -> list[Path]:
    """Return the real rules, evaluated at the configured interval instead of every 15 or 30 s."""
    paths = []
    for name, text in render_alerts(SPEC).items():
        if name.endswith(".rules.yml"):
            groups = yaml.safe_load(DAYS.sub(r"60 * sum_over_time(\1:1m])", text))
            for group in groups["groups"]:
                del group["interval"]
            paths.append(folder / name)
            paths[-1].write_text(yaml.safe_dump(groups))
    return paths


def test_every_panel_and_variable_query_gives_finite_series(prometheus: Prometheus) -> None:
    all_queries = [panel_queries(board, __rate_interval=RATE) + variable_queries(board) for board in BOARDS.values()]
    waiting = list(dict.fromkeys(itertools.chain.from_iterable(all_queries)))
    wrong: list[str] = []
    end = time.monotonic() + 100
    while waiting and time.monotonic() < end:
        now = time.time()
        results = [(query, complaints(prometheus, [query], now - 3, now)) for query in waiting]
        waiting = [query for query, complaint in results if complaint]
        wrong = [line for _, complaint in results for line in complaint]
        time.sleep(0.2)
    assert wrong == []


@pytest.mark.parametrize("name", BOARDS)
def test_every_annotation_query_is_accepted(name: str, prometheus: Prometheus) -> None:
    for query in annotation_queries(BOARDS[name]):
        prometheus.query(query.expr)  # fails if Prometheus rejects it


@pytest.mark.parametrize("name", BOARDS)
def test_every_name_in_a_legend_is_filled_in(name: str, prometheus: Prometheus) -> None:
    """Alerts have different labels; every other legend finds all its labels on every series."""
    for panel in panels(BOARDS[name]):
        for target in panel["targets"]:
            wanted = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            for sample in prometheus.query(substitute(target["expr"], __rate_interval=RATE)):
                assert panel["title"] == "Firing alerts" or wanted <= sample.labels.keys(), panel["title"]


def test_models_follow_the_chosen_pool_and_those_of_no_pool_stay(prometheus: Prometheus) -> None:
    assert _models(prometheus, ".*") == {MODEL, OTHER}
    assert _models(prometheus, "(chat-70b)") == {MODEL, OTHER}
    assert _models(prometheus, "another-pool") == {OTHER}


def _models(prometheus: Prometheus, pool: str) -> set[str]:
    (query,) = (one for one in variable_queries(BOARDS["oncall.json"], pool=pool) if one.panel == "$model")
    return {sample.labels["model"] for sample in prometheus.query(query.expr)}


def test_a_lost_replica_stays_in_its_pool_and_one_that_never_started_shows_everywhere(
    fleet: Fleet, prometheus: Prometheus
) -> None:
    fleet.lost = True
    wait_for(lambda: _up(prometheus, MODEL).get(LOST) == 0, "the lost replica to be down")
    assert _up(prometheus, MODEL) == {STEADY: 1, LOST: 0, UNBORN: 0}
    assert _up(prometheus, OTHER) == {FOREIGN: 1, UNBORN: 0}
    down = _query("Replicas down", model=MODEL)
    assert [sample.value for sample in prometheus.query(down.expr)] == [2]


def _up(prometheus: Prometheus, model: str) -> dict[str, float]:
    expr = substitute(queries.replicas_up(), model=model)
    return {sample.labels["replica"]: sample.value for sample in prometheus.query(expr)}


def _query(title: str, **values: str) -> Query:
    (found,) = (query for query in panel_queries(BOARDS["oncall.json"], **values) if query.panel == title)
    return found

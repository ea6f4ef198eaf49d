"""Dashboards of pools that share a model: a chosen pool shows its own replicas, by the real promtool with the variables' own queries."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from plimsoll.dashboards.build import boards
from plimsoll.slo import metrics as c
from plimsoll.slo.metrics import recorded
from plimsoll.slo.spec.objectives import load
from promql import panel_queries, panels, variable_queries
from promtool import case, is_value, run_cases, series
from regions import TEXT, spec

OTHER = TEXT.replace(
    "objectives:",
    """  - name: draft
    model: d
    node: {gpu: L4, gpus: 1}
    nodes: {min: 1, max: 4}
    timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}
objectives:""",
)
SPEC = load(OTHER)
BOARDS = {name: json.loads(text) for name, text in boards(SPEC).items()}
# Replica -> its labels; each runs one request. `d-2` serves the draft model in the American region, which that pool doesn't match.
REPLICAS = {
    "eu": {"model": "m", "region": "eu-west", "namespace": "chat"},
    "us": {"model": "m", "region": "us", "namespace": "chat"},
    "d-1": {"model": "d"},
    "d-2": {"model": "d", "region": "us", "namespace": "else"},
}


def hidden(**chosen: str) -> dict[str, str]:
    """The queries of the hidden variables by the label that they narrow."""
    found = {one.panel.removeprefix("$others_"): one.expr for one in variable_queries(BOARDS["pool.json"], **chosen)}
    return {label: found[label] for label in ("region", "namespace")}


def values(label: str, *some: str) -> list[dict[str, Any]]:
    return [{"labels": series("", {label: value}), "value": 1} for value in some]


@pytest.mark.prometheus
@pytest.mark.parametrize(
    ("pool", "regions", "namespaces", "shown"),
    [
        ("eu", ["us"], [], 1),
        ("us", ["eu-north", "eu-west"], [], 1),
        ("(eu|us)", [], [], 2),
        ("draft", [], [], 2),
        (".*", [], [], 4),
    ],
)
def test_a_chosen_pool_shows_its_own_replicas(
    tmp_path: Path, pool: str, regions: list[str], namespaces: list[str], shown: int
) -> None:
    """The values that each variable gives, and how many replicas the panel of running requests then shows."""
    models = {"eu": "m", "us": "m", "(eu|us)": "m", "draft": "d", ".*": ".*"}
    (running,) = {
        query.expr
        for query in panel_queries(
            BOARDS["pool.json"],
            model=models[pool],
            others_region=f"({'|'.join([*regions, '-'])})",
            others_namespace=f"({'|'.join([*namespaces, '-'])})",
        )
        if query.panel == "Running requests"
    }
    asked = hidden(pool=pool)
    checks = [
        {"expr": asked[label], "eval_time": "5m", "exp_samples": values(label, "-", *found)}
        for label, found in (("region", regions), ("namespace", namespaces))
    ]
    world = [
        {"series": series(c.REQUESTS_RUNNING.name, {"instance": "n:9800", "replica": name, **labels}), "values": "1x10"}
        for name, labels in REPLICAS.items()
    ]
    run_cases(tmp_path, "groups: []\n", [case(pool, world, *checks, is_value(f"count({running})", 5, shown))])


def test_every_query_of_a_target_leaves_out_other_pools_and_every_variable_is_there() -> None:
    for name, board in BOARDS.items():
        defined = {one["name"] for one in board["templating"]["list"]}
        assert {"others_region", "others_namespace"} <= defined, name
        for panel in panels(board):
            for target in panel["targets"]:
                scoped = target["expr"].count('region=~"$region"')
                assert target["expr"].count('region!~"$others_region"') == scoped, (name, panel["title"])
                assert set(re.findall(r"\$(others_\w+)", target["expr"])) <= defined


def test_pools_of_one_model_have_lines_of_their_own() -> None:
    queries = [one.expr for one in panel_queries(BOARDS["oncall.json"]) if recorded.bucket_rate(c.TTFT) in one.expr]
    assert queries
    assert all("by (le, model, namespace, region)" in expr for expr in queries)
    legends = {
        t["legendFormat"] for p in panels(BOARDS["oncall.json"]) for t in p["targets"] if "by (le, model" in t["expr"]
    }
    assert legends
    assert all("{{region}}" in legend for legend in legends)


def test_a_file_without_match_has_none_of_it() -> None:
    plain = load(re.sub(r"    match: .*\n", "", TEXT.replace("model: m\n    match: {region: us}", "model: n\n")))
    assert plain.pools[0].match == plain.pools[1].match
    assert "others_" not in "".join(boards(plain).values())
    assert "others_" in "".join(boards(spec()).values())

"""Queries of the dashboards, parsed: existing names and labels, sums before quantiles, no averages, narrowed by variables."""

from typing import Any

import pytest

from boards import BOARDS, EVALUATED, OF_MODELS, RECORDED, each_board, each_query
from plimsoll.slo import metrics
from plimsoll.slo.metrics import recorded
from promql import Dashboard, annotation_queries, nodes, panel_queries

RATES = ("rate", "irate", "increase")
OF_SERVICE = {
    metrics.REPLICA_CAPACITY.name,
    metrics.BUDGET_REMAINING.name,
    metrics.COVERAGE.name,
    metrics.RECOMMENDED_NODES.name,
    metrics.INGEST_LAG.name,
}


# Queries ----------------------------------------------------------------------------------------------------
@each_query
def test_a_query_names_only_known_metrics_and_their_labels(expr: str) -> None:
    for selector in _selectors(expr):
        if selector.name == "ALERTS":
            continue
        if selector.name in RECORDED:
            known = RECORDED[selector.name]
        else:
            metric, part = _metric(selector.name)
            assert part in (("",) if metric.kind != "histogram" else ("_bucket", "_sum", "_count")), selector.name
            known = {*metric.labels, "instance", "le", "region", "node"}
        assert {matcher.name for matcher in selector.matchers.matchers} <= known, selector.name


@each_query
def test_counters_are_read_only_as_rates_and_gauges_never(expr: str) -> None:
    for node, path in nodes(expr):
        if type(node).__name__ != "VectorSelector" or node.name in (*RECORDED, "ALERTS"):
            continue
        rated = any(type(outer).__name__ == "Call" and outer.func.name in RATES for outer in path)
        assert rated == (_metric(node.name)[0].kind != "gauge"), node.name


@each_query
def test_nothing_is_averaged(expr: str) -> None:
    """An average of quantiles or of ratios describes no request."""
    for node, _ in nodes(expr):
        kind = type(node).__name__
        assert not (kind == "AggregateExpr" and str(node.op) in ("avg", "quantile", "stddev", "stdvar"))
        assert not (
            kind == "Call" and node.func.name in ("avg_over_time", "quantile_over_time", "irate", "delta", "deriv")
        )


@each_query
def test_a_quantile_is_taken_from_summed_bucket_rates_by_le(expr: str) -> None:
    for node, path in nodes(expr):
        if type(node).__name__ == "Call" and node.func.name == "histogram_quantile":
            summed = node.args[1]
            assert type(summed).__name__ == "AggregateExpr"
            assert str(summed.op) == "sum"
            assert "le" in summed.modifier.labels
            rated = summed.expr.lhs if type(summed.expr).__name__ == "BinaryExpr" else summed.expr
            assert rated.name in OF_MODELS if type(rated).__name__ == "VectorSelector" else rated.func.name == "rate"
            assert not any(type(outer).__name__ == "AggregateExpr" for outer in path), "a quantile of quantiles"


@each_query
def test_a_rate_looks_back_as_far_as_the_scrape_interval_asks(expr: str) -> None:
    """`$__rate_interval` is 8 minutes here, a value that no query has itself."""
    for node, path in nodes(expr):
        if type(node).__name__ == "MatrixSelector" and path[-1].func.name in (*RATES, "changes"):
            assert node.range.total_seconds() == 480


@pytest.mark.parametrize(("name", "board"), BOARDS.items())
def test_every_query_is_narrowed_by_the_variables(name: str, board: Dashboard) -> None:
    values = {"model": "M", "replica": "R", "pool": "P", "objective": "O", "region": "E", "node": "N"}
    for query in panel_queries(board, **values):
        for selector in _selectors(query.expr):
            # These also select other replicas, so that unknown ones stay. A target shows that rules run.
            if (
                selector.name in ("ALERTS", recorded.LAST_INFO, metrics.GPU_ASSIGNMENT.name)
                or query.panel == "Firing alerts (count)"
            ):
                continue
            given = {(matcher.name, matcher.value) for matcher in selector.matchers.matchers}
            wanted = {(name, value) for name, value in values.items() if name in _narrows(selector.name)}
            assert wanted <= given, query


def _narrows(name: str) -> set[str]:
    """Return the variables that a selector of that name must have."""
    if name in EVALUATED or name == recorded.INCIDENT_SIGNATURE:
        return {"pool"}
    if name in RECORDED:
        return RECORDED[name] & {"model", "replica", "region", "node"}
    if name in OF_SERVICE:
        return set(metrics.BY_NAME[name].labels) & {"pool"}
    return {"region", "node", *(set(_metric(name)[0].labels) & {"model", "replica"})}


@each_board
def test_annotations_mark_alerts_starts_versions_and_exclusions(board: Dashboard) -> None:
    names = {selector.name for query in annotation_queries(board) for selector in _selectors(query.expr)}
    assert names == {
        "ALERTS",
        metrics.REPLICA_INFO.name,
        metrics.EXCLUDED.name,
        recorded.LAST_START,
    }


def _selectors(expr: str) -> list[Any]:
    return [node for node, _ in nodes(expr) if type(node).__name__ == "VectorSelector"]


def _metric(name: str) -> tuple[metrics.Metric, str]:
    for part in ("", "_bucket", "_sum", "_count"):
        metric = metrics.BY_NAME.get(name.removesuffix(part))
        if metric is not None and name.endswith(part):
            return metric, part
    raise AssertionError(f"{name} is neither in the catalogue nor a recorded series")

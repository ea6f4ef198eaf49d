"""What so many nodes cost an hour: on demand, reserved, bought; the same in PromQL, by a real Prometheus."""

from pathlib import Path

import pytest

from plimsoll.slo.spec.node_pricing import Node, OwnedHardware, Reserved
from promtool import case, is_value, run_cases

PRICED = Node("H100-80GB", 2, hourly_usd=4.0)
TERM = Node("H100-80GB", 2, hourly_usd=4.0, reserved=Reserved(3, 2.5))
BOUGHT = Node("H100-80GB", 2, owned=OwnedHardware(87_600, 5, 1, 1, 0.5), reserved=Reserved(2))  # 2 and 0.5 USD an hour
GIVEN = [{"series": "up", "values": "1"}]
COSTS: list[tuple[Node, dict[float, float]]] = [
    (PRICED, {0: 0.0, 1: 4.0, 2.5: 10.0}),
    (TERM, {0: 7.5, 2: 7.5, 3: 7.5, 3.5: 9.5, 5: 15.5}),
    (BOUGHT, {1: 5.0, 2: 5.0, 3: 7.5}),
]


@pytest.mark.parametrize(("node", "costs"), COSTS)
def test_reserved_nodes_cost_in_any_case_and_others_while_they_run(node: Node, costs: dict[float, float]) -> None:
    assert {count: pytest.approx(node.usd_per_hour(count)) for count in costs} == costs


@pytest.mark.prometheus
def test_prometheus_comes_to_the_same(tmp_path: Path) -> None:
    """`2 * up` stands for the replicas of nodes of two: an expression of operators needs no brackets of its own."""
    cases = [
        case(f"{node.hourly_usd:g} USD, {node.reserved_nodes} reserved, {count} run", GIVEN, is_value(expr, 0, usd))
        for node, costs in COSTS
        for count, usd in costs.items()
        for expr in (node.usd_per_hour_promql(f"{2 * count} * up / 2"),)
    ]
    run_cases(tmp_path, "groups: []\n", cases)

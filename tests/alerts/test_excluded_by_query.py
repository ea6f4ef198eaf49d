"""An exclusion by query mutes alerts while the query has a result: no waiting for the service."""

from pathlib import Path

import pytest

from plimsoll.alerts.build import render
from plimsoll.slo.metrics import REPLICA_INFO, recorded
from plimsoll.slo.sli.evidence import countings
from plimsoll.slo.spec.objectives import load
from promtool import case, fires, only, requests, run_cases, series, silent

POOL = """{{name: {0}, model: {0}, node: {{gpu: H100-80GB, gpus: 2}}, nodes: {{min: 1, max: 2}},
     timing: {{cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}}}"""
SPEC = load(f"""
version: plimsoll/v1
pools:
  - {POOL.format("chat")}
  - {POOL.format("code")}
objectives:
  - {{id: chat-up, pool: chat, indicator: availability, target: 99.9%, window: 28d}}
  - {{id: code-up, pool: code, indicator: availability, target: 99.9%, window: 28d}}
exclusions:
  - {{query: 'kube_node_spec_unschedulable{{node="n1"}} == 1', pool: chat, created_by: ann, reason: maintenance}}
""")
NAMES = {
    *(recorded.GOOD_RATE, recorded.TOTAL_RATE, recorded.TARGET, "SLOOutage", "SLOExclusionActive"),
    *(recorded.burn_rate(300), recorded.bad_requests(300)),
}
FLAG = 'kube_node_spec_unschedulable{node="n1"}'


@pytest.mark.prometheus
def test_an_outage_is_muted_while_the_query_has_a_result_and_not_without_data(tmp_path: Path) -> None:
    given = [
        one
        for objective in SPEC.objectives
        for one in requests(
            countings(objective, SPEC.pool(objective.pool))[0], (20, 60.0, 0.0), (40, 0.0, 60.0), model=objective.pool
        )
    ]
    given.append({"series": series(REPLICA_INFO.name, {"instance": "a:9800", "model": "chat"}), "values": "1x60"})
    chat, code, muting = ({"objective": "chat-up"}, {"objective": "code-up"}, {"alertname": "SLOExclusionActive"})
    cases = [
        case(
            "drained for 20 minutes",
            [*given, {"series": FLAG, "values": "0x9 1x29 0x20"}],
            silent(8, **muting),
            fires(30, pool="chat", **muting),
            silent(30, **chat),
            fires(30, **code),
            fires(55, **chat),
        ),
        case("no data", given, fires(30, **chat), silent(30, **muting)),
    ]
    text = "groups:\n" + "".join(
        render(SPEC)[f"{name}.rules.yml"].partition("groups:\n")[2] for name in ("objectives", "health")
    )
    run_cases(tmp_path, only(text, NAMES), cases)

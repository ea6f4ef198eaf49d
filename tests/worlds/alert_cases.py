"""The cases of every alert of health.rules.yml: as data, and as promtool YAML."""

from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import yaml

from budget_cases import BUDGETS
from gpu_cases import GPUS
from gpu_fabric_cases import FABRIC, SPLIT
from health_cases import MODEL, OBJECTIVES, POOL, Given, runbook
from paths import ROOT
from pool_cases import MUTING, POOLS
from replica_cases import REPLICAS
from self_monitoring_cases import SELF_MONITORING

WRITTEN = ROOT / "tests" / "fixtures" / "rules" / "health.yml"
CASES = [*BUDGETS, *POOLS, *REPLICAS, *MUTING, *GPUS, *FABRIC, *SPLIT, *SELF_MONITORING]


class Incident(NamedTuple):
    """An alert's case: its series, their interval, when it fires, and the labels that its runbook is opened with."""

    alert: str
    series: list[Given]
    interval: str
    at: str
    labels: dict[str, str]


def incidents() -> list[Incident]:
    """Every case in which an alert fires, with the labels of its runbook's address."""
    found = [
        Incident(
            check["alertname"],
            test["input_series"],
            test["interval"],
            check["eval_time"],
            _labels(fired["exp_annotations"]["runbook_url"]),
        )
        for test in yaml.safe_load(WRITTEN.read_text())["tests"]
        for check in test.get("alert_rule_test", ())
        for fired in check["exp_alerts"]
    ]
    found += [Incident(one.alert, one.over, "15s", one.at, _labels(runbook(one.alert, one.labels))) for one in CASES]
    # Their cases are in other tests, over days. Of the requests at rest, one in seven is slower than any threshold.
    labels = {"pool": POOL, "model": MODEL, "objective": OBJECTIVES[0]}
    return [*found, *(Incident(name, [], "15s", "2h", labels) for name in ("SLOErrorBudgetBurn", "SLOOutage"))]


def _labels(url: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(url).query))

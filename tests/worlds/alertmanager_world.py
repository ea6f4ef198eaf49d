"""The generated Alertmanager configuration with short waits, and alerts as Prometheus would send them."""

from pathlib import Path
from typing import Any

import yaml

from paths import OBJECTIVES
from plimsoll.alerts.build import render
from plimsoll.alerts.notify.receivers import Receivers
from plimsoll.slo.spec.objectives import load

SPEC = load(OBJECTIVES.read_text())


def config(receivers: Receivers) -> str:
    """The generated configuration with waits of a second instead of minutes."""
    document = yaml.safe_load(render(SPEC, receivers=receivers)["alertmanager.yml"])
    route = document["route"]
    for one in (route, *route["routes"]):
        one |= {wait: "1s" for wait in ("group_wait", "group_interval") if wait in one}
    return yaml.safe_dump(document)


def to_pagerduty(folder: Path, url: str) -> str:
    """The configuration for a PagerDuty at a URL, with a routing key in a file."""
    (folder / "pagerduty-routing-key").write_text("k" * 32)
    return config(Receivers(secrets_dir=str(folder), pagerduty_url=url))


def alert(name: str, severity: str, **labels: str) -> dict[str, Any]:
    """An alert as Prometheus sends it, with a summary that names it."""
    texts = {"summary": f"summary of {name} {labels.get('tier', severity)}", "description": "Numbers."}
    return {"labels": {"alertname": name, "severity": severity, **labels}, "annotations": texts}

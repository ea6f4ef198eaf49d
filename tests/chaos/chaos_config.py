"""Configuration of a chaos run: objectives, scrapes, rules."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from plimsoll.alerts.build import render
from plimsoll.alerts.notify.receivers import Receivers
from plimsoll.alerts.rules import Sites
from plimsoll.slo.spec.objectives import load

CALM, BUSY = "calm", "busy"  # of the busy pool no node can be spared
POOLS = (CALM, BUSY)
SCRAPE_SECONDS = 3
TARGET = 0.99
COLD_START = 5
OBJECTIVES = "version: plimsoll/v1\npools:\n" + "".join(
    f"""  - name: {pool}
    model: {pool}-model
    node: {{gpu: none, gpus: 1}}
    nodes: {{min: 1, max: 4}}
    timing: {{cold_start: {COLD_START}s, warm_start: 5s, scale_in_stabilization: 30s}}
    max_waiting_per_node: 20
"""
    for pool in POOLS
)
INDICATORS = {
    "ttft": "{time_to_first_token: 600ms}",
    "plugin": "{time_to_first_token: 600ms}",
    "tpot": "{time_per_output_token: 40ms}",
    "e2e": "{request_duration: 4s}",
    "availability": "availability",
    "goodput": "{goodput: {ttft: 600ms, e2e: 4s}}",
}
OBJECTIVES += "objectives:\n" + "".join(
    f"  - {{id: {pool}-{kind}, pool: {pool}, indicator: {indicator}, target: {TARGET:.0%}, window: 28d}}\n"
    for pool in POOLS
    for kind, indicator in INDICATORS.items()
)


def write_rules(folder: Path, service: str, pagerduty: str) -> tuple[list[Path], Path]:
    """Write rules and routes; returns the rule files and Alertmanager's configuration."""
    (folder / "pagerduty-routing-key").write_text("0123456789abcdef0123456789abcdef")
    receivers = Receivers(tickets=("pagerduty",), secrets_dir=str(folder), pagerduty_url=pagerduty)
    for name, text in render(load(OBJECTIVES), Sites(service=service), receivers).items():
        (folder / name).write_text(text)
    return sorted(folder.glob("*.rules.yml")), folder / "alertmanager.yml"


def scrapes(exporters: Mapping[str, str], extra: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The part of the configuration that Prometheus and VictoriaMetrics share."""
    every = f"{SCRAPE_SECONDS}s"
    own = {"job_name": "exporter", "static_configs": [{"targets": list(exporters.values())}]}
    return {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": [own, *extra]}


def prometheus(
    path: Path, exporters: Mapping[str, str], extra: Sequence[dict[str, Any]], rules: Sequence[Path], alertmanager: str
) -> None:
    """Write Prometheus' configuration; samples may come ten minutes late."""
    document = scrapes(exporters, extra) | {
        "rule_files": [str(rule) for rule in rules],
        "storage": {"tsdb": {"out_of_order_time_window": "10m"}},
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.removeprefix("http://")]}]}]},
    }
    path.write_text(yaml.safe_dump(document))


def again(exporters: Mapping[str, str]) -> dict[str, Any]:
    """A second job with the same targets."""
    return {"job_name": "again", "static_configs": [{"targets": list(exporters.values())}]}


def late(exporters: Mapping[str, str], relay: str) -> dict[str, Any]:
    """A job whose samples come late, into the series of the first job."""
    address = relay.removeprefix("http://")
    return {
        "job_name": "late",
        "static_configs": [
            {"targets": [address], "labels": {"instance": instance, "__metrics_path__": f"/{name}"}}
            for name, instance in exporters.items()
        ],
        "relabel_configs": [{"target_label": "job", "replacement": "exporter"}],
    }

"""Unit tests of Prometheus rules, written as Python data and run by the real promtool.

Series are defined by stretches of time, one sample per minute; a counter continues from stretch to stretch.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from plimsoll.slo.sli.evidence import Counting, Way
from plimsoll.slo.sources.selector import Selector
from stack import promtool_test, versions


def counter(*stretches: tuple[float, float | None], start: float = 0.0) -> str:
    """Return samples of a counter from (minutes, events/min) stretches; None as a rate leaves a gap."""
    value, parts = start, []
    for minutes, per_minute in stretches:
        if per_minute is None:
            parts.append(f"_x{round(minutes)}")
        elif round(minutes):
            parts.append(f"{value:.9f}+{per_minute:.9f}x{round(minutes) - 1}")
            value += per_minute * round(minutes)
    return " ".join(parts)


def sample_of(selector: Selector, **labels: str) -> str:
    """Return a series that a selector selects, with the labels of one replica."""
    return series(selector.name, {name: values[0] for name, values in selector.labels} | labels)


def series(name: str, labels: Mapping[str, str]) -> str:
    """Return a series, which is also its own selector."""
    return str(Selector(name, tuple((label, (value,)) for label, value in labels.items())))


def requests(
    counting: Way, *stretches: tuple[float, float | None, float], start: float = 0.0, **labels: str
) -> list[dict[str, str]]:
    """Return one replica's series of good and bad requests, from (minutes, good/min, bad/min); None as good is a gap."""
    assert isinstance(counting, Counting)
    replica = {"instance": "node-a:9800", "replica": "r1", "model": "m", "engine": "vllm", "rank": "0"} | labels
    bad = next(selector for selector in counting.total if selector not in counting.good)
    goods = counter(*((minutes, good) for minutes, good, _ in stretches), start=start)
    bads = counter(*((minutes, None if good is None else bad) for minutes, good, bad in stretches), start=start)
    own = {name: value for name, value in replica.items() if name != "model"}
    return [
        {"series": sample_of(counting.good[0], **own), "values": goods},
        {"series": sample_of(bad, **own), "values": bads},
    ]


def is_value(expr: str, at: float, value: float) -> dict[str, Any]:
    """Return a check that an expression without labels has one value, `at` minutes after the start."""
    return {"expr": expr, "eval_time": f"{round(at)}m", "exp_samples": [{"labels": "{}", "value": value}]}


def is_absent(expr: str, at: float) -> dict[str, Any]:
    """Return a check that an expression has no result."""
    return {"expr": expr, "eval_time": f"{round(at)}m", "exp_samples": []}


def fires(at: float, **labels: str) -> dict[str, Any]:
    """Return a check that exactly one alert with these labels fires."""
    return is_value(f"count({_alerts(labels)})", at, 1)


def silent(at: float, **labels: str) -> dict[str, Any]:
    """Return a check that no alert with these labels fires."""
    return is_absent(_alerts(labels), at)


def _alerts(labels: Mapping[str, str]) -> str:
    return series("ALERTS", {**labels, "alertstate": "firing"})


def case(name: str, given: Sequence[Mapping[str, str]], *checks: Mapping[str, Any]) -> dict[str, Any]:
    """Return one promtool test."""
    return {
        "name": name,
        "interval": "1m",
        "input_series": [dict(one) for one in given],
        "promql_expr_test": [dict(check) for check in checks],
    }


@dataclass(frozen=True)
class Batch:
    """Tests of one rule file, evaluated at the interval `every`. (promtool rejects queries over 10,000 samples: long windows need 5m.)"""

    rules: str
    cases: Sequence[Mapping[str, Any]]
    every: str = "1m"


def in_order(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return groups with alerts in groups of their own, last: an evaluation in a test has no delay between groups.

    In production they are up to an interval apart (30 s, or 2 min for windows of days); a step of a test is a minute or five.
    """
    recording = [group | {"rules": [one for one in group["rules"] if "record" in one]} for group in groups]
    alerting = [
        group | {"name": f"{group['name']}-alerts", "rules": [one for one in group["rules"] if "alert" in one]}
        for group in groups
    ]
    return [group for group in (*recording, *alerting) if group["rules"]]


def run_batches(folder: Path, batches: Sequence[Batch], on: Sequence[str] = ()) -> None:
    """Run all batches in one call of each installed promtool, or of those in `on`."""
    files = []
    for index, batch in enumerate(batches):
        rules, tests = f"rules{index}.yml", folder / f"tests{index}.yml"
        groups = in_order(yaml.safe_load(batch.rules)["groups"])
        (folder / rules).write_text(yaml.safe_dump({"groups": groups}, width=10_000))
        document = {
            "rule_files": [rules],
            "evaluation_interval": batch.every,
            "group_eval_order": [group["name"] for group in groups],
            "tests": [dict(one) for one in batch.cases],
        }
        tests.write_text(yaml.safe_dump(document, sort_keys=False, width=1000))
        files.append(tests)
    promtool_test(files, on or versions("promtool"))


def run_cases(folder: Path, rules: str, cases: Sequence[Mapping[str, Any]], on: Sequence[str] = ()) -> None:
    """Run tests of rules that are evaluated every minute."""
    run_batches(folder, [Batch(rules, cases)], on)


def only(rules: str, names: Container[str], tier: str = "") -> str:
    """Return the rules of a file with these names (and tier): promtool evaluates every rule in every test."""

    def wanted(rule: Mapping[str, Any]) -> bool:
        named = (rule.get("alert") or rule["record"]) in names
        return named and (not tier or rule["labels"].get("tier", tier) == tier)

    groups = [
        group | {"rules": [rule for rule in group["rules"] if wanted(rule)]}
        for group in yaml.safe_load(rules)["groups"]
    ]
    return yaml.safe_dump({"groups": groups}, width=10_000)

"""Unit tests of Prometheus rules, written as Python data and run by the real promtool.

Series are given by stretches of time, one sample a minute: a counter keeps counting from stretch to stretch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from slo.indicators import Counting, Selector
from stack import promtool_test, versions


def counter(*stretches: tuple[float, float | None], start: float = 0.0) -> str:
    """Samples of a counter from (minutes, events a minute) stretches; None as a rate leaves a gap in the samples."""
    value, parts = start, []
    for minutes, per_minute in stretches:
        if per_minute is None:
            parts.append(f"_x{round(minutes)}")
        elif round(minutes):
            parts.append(f"{value:.9f}+{per_minute:.9f}x{round(minutes) - 1}")
            value += per_minute * round(minutes)
    return " ".join(parts)


def sample_of(selector: Selector, **labels: str) -> str:
    """A series that a selector selects, with the labels of one replica."""
    return series(selector.name, {name: values[0] for name, values in selector.labels} | labels)


def series(name: str, labels: Mapping[str, str]) -> str:
    """Write a series, which is also the selector of that series."""
    return str(Selector(name, tuple((label, (value,)) for label, value in labels.items())))


def requests(
    counting: Counting, *stretches: tuple[float, float | None, float], start: float = 0.0, **labels: str
) -> list[dict[str, str]]:
    """Series of one replica that count good and bad requests, from (minutes, good, bad a minute); None as good is a gap."""
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
    """Check that an expression without labels has one value, `at` minutes after the start."""
    return {"expr": expr, "eval_time": f"{round(at)}m", "exp_samples": [{"labels": "{}", "value": value}]}


def is_absent(expr: str, at: float) -> dict[str, Any]:
    """Check that an expression has no answer at all."""
    return {"expr": expr, "eval_time": f"{round(at)}m", "exp_samples": []}


def fires(at: float, **labels: str) -> dict[str, Any]:
    """Check that exactly one alert with these labels fires."""
    return is_value(f"count({_alerts(labels)})", at, 1)


def silent(at: float, **labels: str) -> dict[str, Any]:
    """Check that no alert with these labels fires."""
    return is_absent(_alerts(labels), at)


def _alerts(labels: Mapping[str, str]) -> str:
    return series("ALERTS", {**labels, "alertstate": "firing"})


def case(name: str, given: Sequence[Mapping[str, str]], *checks: Mapping[str, Any]) -> dict[str, Any]:
    """One promtool test."""
    return {
        "name": name,
        "interval": "1m",
        "input_series": [dict(one) for one in given],
        "promql_expr_test": [dict(check) for check in checks],
    }


def run_cases(
    folder: Path, rules: str, cases: Sequence[Mapping[str, Any]], every: str = "1m", on: Sequence[str] = ()
) -> None:
    """Run tests on rules evaluated `every` so often, `on` every promtool at hand unless told. (promtool refuses queries over 10,000 samples: long windows need 5m.)"""
    (folder / "rules.yml").write_text(rules)
    document = {"rule_files": ["rules.yml"], "evaluation_interval": every, "tests": [dict(one) for one in cases]}
    (folder / "tests.yml").write_text(yaml.safe_dump(document, sort_keys=False, width=1000))
    promtool_test(folder / "tests.yml", on or versions("promtool"))

"""Reference page of the alerts."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from plimsoll.alerts.build import render
from plimsoll.compose.reference.markdown import page, table
from plimsoll.slo.spec.objectives import Spec


def rules(files: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield every rule of the rendered rule files, in order."""
    for name, text in files.items():
        if name.endswith(".rules.yml"):
            for group in yaml.safe_load(text)["groups"]:
                yield from group["rules"]


def alerts_page(spec: Spec) -> str:
    """Return every alert of the default objectives: severities, delay, summary, description."""
    found: dict[str, dict[str, Any]] = {}
    severities: dict[str, set[str]] = {}
    for rule in rules(render(spec)):
        if "alert" in rule:
            found.setdefault(rule["alert"], rule)
            severities.setdefault(rule["alert"], set()).add(rule["labels"]["severity"])
    rows = (
        (
            f"[{name}](../../alerts/runbooks.md#{name.lower()})",
            ", ".join(sorted(severities[name])),
            rule.get("for", "0s"),
            rule["annotations"]["summary"],
            rule["annotations"]["description"],
        )
        for name, rule in sorted(found.items())
    )
    intro = (
        "Every alert that `plimsoll build` writes. `page` notifies on-call at once, `ticket` waits for working hours, `info` is only shown. "
        "Thresholds are those of the default objectives."
    )
    return page("Alerts", intro, table(("Alert", "Severity", "For", "Summary", "Description"), rows))

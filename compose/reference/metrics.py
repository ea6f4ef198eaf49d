"""Reference pages of the metrics and of the recorded series."""

from plimsoll.alerts.build import render
from plimsoll.compose.reference.markdown import page, table
from plimsoll.compose.reference.rules import rules
from plimsoll.slo import metrics
from plimsoll.slo.spec.objectives import Spec

SUBJECTS = {
    "llm_": "Engines and requests",
    "gpu_": "GPUs",
    "plimsoll_": "Plimsoll's own parts",
}


def metrics_page() -> str:
    """Return every metric: name, type, labels, help."""
    sections = [
        f"## {title}\n\n"
        + table(
            ("Metric", "Type", "Labels", "Help"),
            (
                (f"`{one.name}`", one.kind, ", ".join(f"`{label}`" for label in one.labels), one.help)
                for one in sorted(metrics.ALL)
                if one.name.startswith(prefix)
            ),
        )
        for prefix, title in SUBJECTS.items()
    ]
    intro = (
        "Every metric that the exporter (`llm_*`, `gpu_*`, `plimsoll_collector_*`) and the SLO service (`plimsoll_*`) expose. "
        "Base units; a missing number is an absent sample, never 0."
    )
    return page("Metrics", intro, *sections)


def recorded_page(spec: Spec) -> str:
    """Return every recorded series of the default objectives, with the expression of its first rule."""
    found: dict[str, tuple[set[str], str]] = {}
    for rule in rules(render(spec)):
        if "record" in rule:
            labels, _ = found.setdefault(rule["record"], (set(), rule["expr"]))
            labels |= set(rule.get("labels", {}))
    rows = (
        (f"`{name}`", ", ".join(f"`{label}`" for label in sorted(labels)), f"`{expr}`")
        for name, (labels, expr) in sorted(found.items())
    )
    intro = "The series that `plimsoll build` records for the default objectives. One example expression for each name."
    return page("Recorded series", intro, table(("Series", "Labels set by the rule", "Expression (example)"), rows))

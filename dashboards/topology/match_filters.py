"""Narrows dashboards to the chosen pools where pools differ in labels of the scrape targets (`match` in the objectives file).

Engine metrics carry those labels and no pool. For each label, a hidden variable holds the values of pools that aren't chosen, and
every selector of a target leaves these out: a pool without the label stays, whichever labels its series have.
"""

import json
from typing import Any

from plimsoll.dashboards import panels, queries
from plimsoll.slo.sources.selector import quoted
from plimsoll.slo.spec import pool_match
from plimsoll.slo.spec.objectives import Spec

# Every selector of a target has this one, as the text of a dashboard's file holds it.
_REGION = json.dumps(queries.REGION)[1:-1]
_NO_VALUE = "-"  # so that the variable is never empty, which would match series without the label
_CHOSEN = 'label_replace(vector(1), "chosen", "yes", "", "")'


def variables(spec: Spec) -> list[Any]:
    """Return a hidden variable per label: the values that only pools which aren't chosen match."""
    return [
        panels.variable(_name(label), label, _query(spec, label), regex=f'/{label}="(.*)"}}/', hide=2)
        for label in pool_match.match_labels(spec.pools)
    ]


def narrowed(text: str, spec: Spec) -> str:
    """Return a dashboard's file whose queries leave out what belongs to pools that aren't chosen, and merge no two pools of a model."""
    labels = pool_match.match_labels(spec.pools)
    if not labels:
        return text
    others = "".join(f',{label}!~"${_name(label)}"' for label in labels)
    text = text.replace(_REGION, _REGION + json.dumps(others)[1:-1])
    return text.replace("by (le, model", f"by (le, model, {', '.join(labels)}")


def legend(spec: Spec) -> str:
    """Return the end of a legend that names the labels; empty without any."""
    return "".join(f" {{{{{label}}}}}" for label in pool_match.match_labels(spec.pools))


def _name(label: str) -> str:
    return f"others_{label}"


def _query(spec: Spec, label: str) -> str:
    """Return the query of the values of pools that aren't chosen, without those of chosen pools; no value if a chosen one has no such label."""
    having = [
        (pool.name, value) for pool in spec.pools for name, some in pool.match.labels if name == label for value in some
    ]
    names = {name for name, _ in having}
    pairs = _marked(" or ".join(_pair(name, label, value) for name, value in having))
    found = f"({pairs} unless on (chosen) {_CHOSEN}) unless on ({label}) ({pairs} and on (chosen) {_CHOSEN})"
    without = [_pair(pool.name, label, _NO_VALUE) for pool in spec.pools if pool.name not in names]
    if without:
        found = f"({found}) unless on () ({_marked(' or '.join(without))} and on (chosen) {_CHOSEN})"
    return f"query_result(group by ({label}) (({found}) or {_labeled(label, _NO_VALUE)}))"


def _marked(pairs: str) -> str:
    return f'label_replace({pairs}, "chosen", "yes", "pool", "$pool")'


def _pair(pool: str, label: str, value: str) -> str:
    return f'label_replace({_labeled("pool", pool)}, "{label}", "{replacement(value)}", "", "")'


def _labeled(label: str, value: str) -> str:
    return f'label_replace(vector(1), "{label}", "{replacement(value)}", "", "")'


def replacement(text: str) -> str:
    """Escape a text for label_replace, in whose replacement `$1` and `${name}` stand for groups."""
    return queries.literal(quoted(text.replace("$", "$$")))

"""The Helm chart's objects, as Helm renders them; no cluster applies them."""

from collections.abc import Iterator
from typing import Any

import pytest

from helm import HELM, rendered
from helm_values import VALUES
from paths import ROOT

CHART = ROOT / "compose" / "helm"
Objects = list[dict[str, Any]]
needs_helm = pytest.mark.skipif(
    not HELM.exists(), reason="Helm was not fetched: python tests/tools/helm.py (needs npm)"
)


def of_all_values() -> dict[str, Objects]:
    """What each set of values gives."""
    return {name: rendered(CHART, values) for name, values in VALUES.items()}


def of_kind(objects: Objects, kind: str) -> Objects:
    return [one for one in objects if one["kind"] == kind]


def only(objects: Objects, kind: str) -> dict[str, Any]:
    (found,) = of_kind(objects, kind)
    return found


def pods(objects: Objects) -> Iterator[dict[str, Any]]:
    for one in objects:
        if one["kind"] in ("DaemonSet", "Deployment"):
            yield one["spec"]["template"]["spec"]


def groups(objects: Objects) -> Iterator[dict[str, Any]]:
    for one in of_kind(objects, "PrometheusRule"):
        yield from one["spec"]["groups"]


def container(objects: Objects, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = only(objects, kind)["spec"]["template"]["spec"]["containers"][0]
    return found

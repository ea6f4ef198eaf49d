"""Pyrra's ServiceLevelObjective (`pyrra.dev/v1alpha1`). Its fields: github.com/pyrra-dev/pyrra,
kubernetes/api/v1alpha1/servicelevelobjective_types.go (0.10).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from plimsoll.slo.exchange.conversion import Conversion, Draft, Reading, indicator, percent, window
from plimsoll.slo.exchange.document import Document, Field, Loss, UnsupportedFieldError
from plimsoll.slo.exchange.queries import Matcher, Sum, Term, Unreadable, read_sum
from plimsoll.slo.units import PROMETHEUS_UNITS, Duration

VERSION, KIND = "pyrra.dev/v1alpha1", "ServiceLevelObjective"
WHY = {
    "labels": "labels of Kubernetes and of Pyrra's own rules: ours carry objective, pool and tier",
    "annotations": "annotations of Kubernetes",
    "namespace": "a pool has no namespace",
    "description": "an objective has no description",
    "alerting": "alerts are computed from target and window, and routed by `plimsoll build`",
    "grouping": "an objective is one number for its pool, not one per label",
    "performanceOverAccuracy": "the ledger counts exactly at no such price",
    "partial_response_strategy": "is about Thanos Ruler",
    "status": "was written by Pyrra's controller",
}


def read_pyrra(documents: Sequence[Document], reading: Reading) -> Conversion:
    """Carry what can be carried of the documents of one file."""
    carried = Conversion()
    for document in documents:
        root = document.root
        said = (root.at("apiVersion").use(), root.at("kind").use())
        if said == (VERSION, KIND):
            carried.carry(root, lambda root: _objective(root, reading))
        else:
            root.use()
            carried.losses.append(Loss(root.where, f"not carried: the document is no {KIND} of {VERSION}"))
    return carried.finish(documents, WHY)


def _objective(root: Field, reading: Reading) -> Iterator[Draft]:
    losses: list[Loss] = []
    spec, name = root.at("spec"), root.at("metadata", "name").text()
    found = indicator(reading, *_sums(spec.at("indicator"), losses), losses)
    target, length = percent(spec.at("target")), window(spec.at("window"), PROMETHEUS_UNITS)
    yield Draft(root, name, found.model or "", found.indicator, target, length, losses)


def _sums(at: Field, losses: list[Loss]) -> tuple[Field, Callable[[], tuple[Sum, Sum]]]:
    """Return where the total stands, and how good and total are read."""
    kinds = [kind for kind in ("ratio", "latency", "latencyNative", "bool_gauge") if at.at(kind).data is not None]
    if len(kinds) != 1 or kinds == ["bool_gauge"]:
        raise UnsupportedFieldError(
            at.where, f"{' and '.join(kinds) or 'nothing'}: only a ratio or a latency counts requests"
        )
    (kind,) = kinds
    found = at.at(kind)
    total = found.at("total", "metric")
    whole = total.text()
    if kind == "latencyNative":
        limit = window(found.at("latency"), PROMETHEUS_UNITS)
        losses.append(Loss(found.where, "reads a native histogram by interpolation; here requests are counted exactly"))
        return total, lambda: _native(read_sum(whole), Duration.parse(limit))
    part = found.at("success" if kind == "latency" else "errors", "metric").text()
    if kind == "latency":
        return total, lambda: (read_sum(part), read_sum(whole))
    return total, lambda: (read_sum(whole).minus(read_sum(part)), read_sum(whole))


def _native(total: Sum, limit: float) -> tuple[Sum, Sum]:
    """Write a native histogram and its limit as a bucket over a count, which say the same."""
    if len(total.terms) != 1:
        raise Unreadable("is no single histogram")
    ((name, matchers),) = total.terms
    le = Matcher("le", "=", repr(float(limit)))
    bucket, count = Term(f"{name}_bucket", tuple(sorted((*matchers, le)))), Term(f"{name}_count", matchers)
    return total._replace(terms=Counter([bucket])), total._replace(terms=Counter([count]))

"""Pyrra's ServiceLevelObjective (`pyrra.dev/v1alpha1`). Its fields: github.com/pyrra-dev/pyrra,
kubernetes/api/v1alpha1/servicelevelobjective_types.go (0.10).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from plimsoll.slo.exchange.conversion import Conversion, ConvertedSlo, Reading, indicator, percent, window
from plimsoll.slo.exchange.document import Document, Field, Loss, UnsupportedFieldError
from plimsoll.slo.exchange.queries import Matcher, Sum, Term, UnsupportedQueryError, read_sum
from plimsoll.slo.units import PROMETHEUS_UNITS, Duration

VERSION, KIND = "pyrra.dev/v1alpha1", "ServiceLevelObjective"
REASONS = {
    "labels": "labels of Kubernetes and of Pyrra's own rules: ours carry objective, pool and tier",
    "annotations": "annotations of Kubernetes",
    "namespace": "a pool has no namespace",
    "description": "an SLO has no description",
    "alerting": "alerts are computed from target and window, and routed by `plimsoll build`",
    "grouping": "an SLO is one number for its pool, not one per label",
    "performanceOverAccuracy": "the ledger always counts exactly",
    "partial_response_strategy": "is about Thanos Ruler",
    "status": "was written by Pyrra's controller",
}


def read_pyrra(documents: Sequence[Document], reading: Reading) -> Conversion:
    """Convert what can be converted of the documents of one file."""
    converted = Conversion()
    for document in documents:
        root = document.root
        identity = (root.at("apiVersion").use(), root.at("kind").use())
        if identity == (VERSION, KIND):
            converted.convert(root, lambda root: _objective(root, reading))
        else:
            root.use()
            converted.losses.append(Loss(root.where, f"document skipped: not a {VERSION} {KIND}"))
    return converted.finish(documents, REASONS)


def _objective(root: Field, reading: Reading) -> Iterator[ConvertedSlo]:
    losses: list[Loss] = []
    spec, name = root.at("spec"), root.at("metadata", "name").text()
    found = indicator(reading, *_sums(spec.at("indicator"), losses), losses)
    target, length = percent(spec.at("target")), window(spec.at("window"), PROMETHEUS_UNITS)
    yield ConvertedSlo(root, name, found.model or "", found.indicator, target, length, losses)


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
        losses.append(Loss(found.where, "reads a native histogram by interpolation; Plimsoll counts requests exactly"))
        return total, lambda: _native(read_sum(whole), Duration.parse(limit))
    part = found.at("success" if kind == "latency" else "errors", "metric").text()
    if kind == "latency":
        return total, lambda: (read_sum(part), read_sum(whole))
    return total, lambda: (read_sum(whole).minus(read_sum(part)), read_sum(whole))


def _native(total: Sum, limit: float) -> tuple[Sum, Sum]:
    """Write a native histogram and its limit as a bucket over a count, which are equivalent."""
    if len(total.terms) != 1:
        raise UnsupportedQueryError("isn't a single histogram")
    ((name, matchers),) = total.terms
    le = Matcher("le", "=", repr(float(limit)))
    bucket, count = Term(f"{name}_bucket", tuple(sorted((*matchers, le)))), Term(f"{name}_count", matchers)
    return total._replace(terms=Counter([bucket])), total._replace(terms=Counter([count]))

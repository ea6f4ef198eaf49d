"""Sloth's `prometheus/v1` files. Their fields: github.com/slok/sloth, pkg/prometheus/api/v1/v1.go (0.16)."""

from collections.abc import Iterator, Sequence

from plimsoll.slo.exchange.conversion import Conversion, ConvertedSlo, Reading, indicator, percent
from plimsoll.slo.exchange.document import Document, Field, Loss, UnsupportedFieldError
from plimsoll.slo.exchange.queries import Sum, read_ratio, read_sum

VERSION = "prometheus/v1"
REASONS = {
    "labels": "labels of Sloth's own rules: ours carry objective, pool and tier",
    "alerting": "alerts are computed from target and window, and routed by `plimsoll build`",
    "slo_plugins": "Sloth's plugins change Sloth's rules",
    "description": "an SLO has no description",
}


def read_sloth(documents: Sequence[Document], reading: Reading) -> Conversion:
    """Convert what can be converted of the documents of one file."""
    converted = Conversion()
    for document in documents:
        root = document.root
        if root.at("version").use() != VERSION:
            root.use()
            converted.losses.append(Loss(root.at("version").where, f"document skipped: not Sloth {VERSION}"))
            continue
        for slo in root.at("slos").items():
            converted.convert(slo, lambda slo, root=root: _objective(root, slo, reading))  # type: ignore[misc]
    return converted.finish(documents, REASONS)


def _objective(root: Field, slo: Field, reading: Reading) -> Iterator[ConvertedSlo]:
    name = f"{root.at('service').text('')}-{slo.at('name').text()}".strip("-")
    reason = f"has no window: Sloth sets its period at run time; {reading.window} is used (--window)"
    losses = [Loss(slo.where, reason)]
    sli = slo.at("sli")
    if sli.at("events").data is not None:
        at, error = sli.at("events", "total_query"), sli.at("events", "error_query").text()
        total = at.text()
        found = indicator(reading, at, lambda: _events(error, total), losses)
    elif sli.at("raw").data is not None:
        at = sli.at("raw", "error_ratio_query")
        query = at.text()
        found = indicator(reading, at, lambda: _raw(query), losses)
    else:
        raise UnsupportedFieldError(sli.where, "is neither events nor raw; a plugin's query isn't in the file")
    target = percent(slo.at("objective"))
    yield ConvertedSlo(slo, name, found.model or "", found.indicator, target, reading.window, losses)


def _events(error: str, total: str) -> tuple[Sum, Sum]:
    whole = read_sum(total)
    return whole.minus(read_sum(error)), whole


def _raw(query: str) -> tuple[Sum, Sum]:
    """Read a ratio of errors, or 1 minus a ratio of good requests."""
    part, total, inverted = read_ratio(query)
    return (part if inverted else total.minus(part)), total

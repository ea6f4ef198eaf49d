"""Sloth's `prometheus/v1` files. Their fields: github.com/slok/sloth, pkg/prometheus/api/v1/v1.go (0.16)."""

from collections.abc import Iterator, Sequence

from plimsoll.slo.exchange.conversion import Conversion, Draft, Reading, indicator, percent
from plimsoll.slo.exchange.document import Document, Field, Loss, UnsupportedFieldError
from plimsoll.slo.exchange.queries import Sum, read_ratio, read_sum

VERSION = "prometheus/v1"
WHY = {
    "labels": "labels of Sloth's own rules: ours carry objective, pool and tier",
    "alerting": "alerts are computed from target and window, and routed by `plimsoll build`",
    "slo_plugins": "Sloth's plugins change Sloth's rules",
    "description": "an objective has no description",
}


def read_sloth(documents: Sequence[Document], reading: Reading) -> Conversion:
    """Carry what can be carried of the documents of one file."""
    carried = Conversion()
    for document in documents:
        root = document.root
        if root.at("version").use() != VERSION:
            root.use()
            carried.losses.append(Loss(root.at("version").where, f"not carried: the document is no {VERSION} of Sloth"))
            continue
        for slo in root.at("slos").items():
            carried.carry(slo, lambda slo, root=root: _objective(root, slo, reading))  # type: ignore[misc]
    return carried.finish(documents, WHY)


def _objective(root: Field, slo: Field, reading: Reading) -> Iterator[Draft]:
    name = f"{root.at('service').text('')}-{slo.at('name').text()}".strip("-")
    why = f"Sloth is told its period when it runs, not by the file: {reading.window} taken (--window)"
    losses = [Loss(slo.where, why)]
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
        raise UnsupportedFieldError(sli.where, "is neither events nor raw: what a plugin counts is not in the file")
    target = percent(slo.at("objective"))
    yield Draft(slo, name, found.model or "", found.indicator, target, reading.window, losses)


def _events(error: str, total: str) -> tuple[Sum, Sum]:
    whole = read_sum(total)
    return whole.minus(read_sum(error)), whole


def _raw(query: str) -> tuple[Sum, Sum]:
    """Read a ratio of errors, or 1 less a ratio of what is good."""
    part, total, inverted = read_ratio(query)
    return (part if inverted else total.minus(part)), total

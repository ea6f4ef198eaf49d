"""Finds the indicator that a pair of sums counts: good and total requests, by engine or Plimsoll metric names."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from plimsoll.slo import metrics as catalogue
from plimsoll.slo.exchange.queries import Matcher, Sum, Term, UnsupportedQueryError
from plimsoll.slo.metrics import Metric
from plimsoll.slo.sli.evidence import FAILED, SERVED
from plimsoll.slo.sli.indicators.latency import HISTOGRAMS
from plimsoll.slo.units import duration_text, shown

# vLLM's finish reasons. Plimsoll counts the first two as good and `error` as bad; the others are not counted.
ENDINGS = (*SERVED, *FAILED, "abort", "repetition")
QUEUED = "queued"
_LITERAL = re.compile(r"(?:[\w/:@ +-]|\\[^\w]|(?<=\d)\.(?=\d))*")
_LE_SUFFIX = re.compile(
    r"\(\\?\.0\)\?$|\(\?:\\\.0\)\?$"
)  # as in le=~"1(\.0)?", which finds a bucket of Prometheus 2 and 3


class Known(NamedTuple):
    """A metric of the catalogue for a name in a query, and the names of its labels here."""

    metric: Metric
    labels: Mapping[str, str]


class Found(NamedTuple):
    """An indicator as in the objectives file, its model (None: not given), the differences in counting, and what else selects series."""

    indicator: str | dict[str, str]
    model: str | None
    differences: list[str]
    narrowed: tuple[Matcher, ...] = ()


class _Part(NamedTuple):
    """A term by catalogue metric; `own` are the labels that select what is counted."""

    metric: Metric
    suffix: str
    own: tuple[tuple[str, str, tuple[str, ...]], ...]  # label, `=` or `!=`, values


_OWN = ("le", "reason", "stage", "objective", "outcome")


def recognize(good: Sum, total: Sum, names: Mapping[str, Known]) -> Found:
    """Find the indicator; raises UnsupportedQueryError where there is none."""
    if len(good.growth | total.growth) > 1:
        raise UnsupportedQueryError(f"mixes {' and '.join(sorted(good.growth | total.growth))}, which form no ratio")
    wheres = {_where(term, names) for term in (*good.terms, *total.terms)}
    if len(wheres) > 1:
        raise UnsupportedQueryError("has parts that select different series beside what they count")
    parts = [Counter({_part(term, names): count for term, count in side.terms.items()}) for side in (good, total)]
    indicator, differences = _latency(*parts) or _availability(*parts)
    models = [item.value for item in next(iter(wheres), ()) if item.label == "model" and item.op == "="]
    narrowed = tuple(item for item in next(iter(wheres), ()) if item.label != "model" or item.op != "=")
    differences += [
        f"is grouped by {label}; an SLO is one number for its pool" for label in sorted(good.grouped | total.grouped)
    ]
    return Found(indicator, models[0] if models else None, differences, narrowed)


def _known(term: Term, names: Mapping[str, Known]) -> tuple[Known, str]:
    for suffix in ("", "_bucket", "_count"):
        found = names.get(term.name.removesuffix(suffix)) if term.name.endswith(suffix) else None
        if found is not None and (found.metric.kind == "histogram") == bool(suffix):
            return found, suffix
    raise UnsupportedQueryError(f"reads {term.name}, which isn't a request counter or latency of a known engine")


def _labels(term: Term, names: Mapping[str, Known]) -> list[Matcher]:
    renamed = _known(term, names)[0].labels
    return [item._replace(label=renamed.get(item.label, item.label)) for item in term.matchers]


def _where(term: Term, names: Mapping[str, Known]) -> tuple[Matcher, ...]:
    """Return the matchers that select the replicas; a pattern of one literal becomes an equality."""
    found = []
    for item in _labels(term, names):
        if item.label not in _OWN:
            literal = _literals(item.value) if item.op == "=~" else ()
            found.append(Matcher(item.label, "=", literal[0]) if len(literal) == 1 else item)
    return tuple(sorted(found))


def _part(term: Term, names: Mapping[str, Known]) -> _Part:
    known, suffix = _known(term, names)
    own = []
    for item in _labels(term, names):
        if item.label in _OWN:
            values = _literals(item.value) if item.op.endswith("~") else (item.value,)
            if not values:
                raise UnsupportedQueryError(
                    f"has the pattern {item.label}{item.op}{item.value!r}, which isn't a list of values"
                )
            if item.label == "le":
                values = tuple(catalogue.bucket_bound(_bound(value)) for value in values)
            own.append((item.label, "=" if item.op in ("=", "=~") else "!=", tuple(sorted(set(values)))))
    return _Part(known.metric, suffix, tuple(sorted(own)))


def _literals(pattern: str) -> tuple[str, ...]:
    """Return the texts of a pattern that is a list of them, such as `stop|length`; nothing for any other."""
    options = _LE_SUFFIX.sub("", pattern).removeprefix("(").removesuffix(")").split("|")
    return tuple(re.sub(r"\\(.)", r"\1", o) for o in options) if all(_LITERAL.fullmatch(o) for o in options) else ()


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise UnsupportedQueryError(f"has the bucket le={shown(text)}, which isn't a number") from error


def _latency(good: Counter[_Part], total: Counter[_Part]) -> tuple[dict[str, str], list[str]] | None:
    """Find `bucket over count` of a latency; for the time per token perhaps without requests of a single token."""
    single = _Part(catalogue.GENERATION_LENGTH, "_bucket", (("le", "=", (catalogue.bucket_bound(1),)),))
    without = good[single] == total[single] == -1
    if without:
        good, total = good - Counter(), total - Counter()  # drops what is below 0
    for kind, histogram in HISTOGRAMS.items():
        whole = (_Part(histogram, "_count", ()), _Part(histogram, "_bucket", (("le", "=", ("+Inf",)),)))
        if len(good) != 1 or not any(total == Counter([part]) for part in whole):
            continue
        ((part, count),) = good.items()
        own = [(label, op, len(values)) for label, op, values in part.own]
        if (part.metric, part.suffix, count, own) == (histogram, "_bucket", 1, [("le", "=", 1)]):
            bound = part.own[0][2][0]
            if bound == "+Inf":
                raise UnsupportedQueryError("counts every request as good (le='+Inf')")
            return {kind: duration_text(float(bound))}, _single_tokens(kind, without)
    return None


def _single_tokens(kind: str, without: bool) -> list[str]:
    if kind != "time_per_output_token" or without:
        return []
    return [
        "counts requests with a single output token as good: engines record a time of 0 for them. Plimsoll leaves them out"
    ]


def _availability(good: Counter[_Part], total: Counter[_Part]) -> tuple[str, list[str]]:
    metrics = {part.metric for part in (*good, *total)}
    if catalogue.FINISHED not in metrics:
        raise UnsupportedQueryError(_neither(metrics))
    served, ended = _endings(good), _endings(total)
    rejected = total.pop(_Part(catalogue.REJECTED, "", ()), 0)
    left = total.pop(_Part(catalogue.ABANDONED, "", (("stage", "=", (QUEUED,)),)), 0)
    foreign = {part.metric for part in (*good, *total)} - {catalogue.FINISHED}
    if foreign or not {rejected, left} <= {0, 1} or not served <= ended:
        raise UnsupportedQueryError("counts more than requests by how they ended")
    if not set(SERVED) <= served or not set(FAILED) <= ended - served:
        raise UnsupportedQueryError(
            f"does not count {', '.join(SERVED)} as good and {', '.join(FAILED)} as bad, as availability does"
        )
    differences = [
        f"counts requests that ended by {ending} as {'good' if ending in served else 'bad'}; Plimsoll leaves them out"
        for ending in ENDINGS
        if ending in ended and ending not in (*SERVED, *FAILED)
    ]
    if not rejected or not left:
        differences.append(
            "doesn't count requests that were rejected or abandoned in the queue; Plimsoll counts them as bad"
        )
    return "availability", differences


def _endings(side: Counter[_Part]) -> set[str]:
    """Return the endings that a side counts, each once; raises UnsupportedQueryError where one is counted in another number."""
    counts = Counter[str]()
    for part, count in side.items():
        if part.metric is catalogue.FINISHED:
            for ending in ENDINGS:
                if all(label == "reason" and (ending in values) == (op == "=") for label, op, values in part.own):
                    counts[ending] += count
    if any(count not in (0, 1) for count in counts.values()):
        raise UnsupportedQueryError("counts some requests more than once, or below zero")
    return {ending for ending, count in counts.items() if count}


def _neither(metrics: set[Metric]) -> str:
    if catalogue.OBJECTIVE_REQUESTS in metrics:
        return "reads requests that the plugin evaluated, without their thresholds"
    if catalogue.ITL in metrics:
        return "reads inter-token latency, which isn't an indicator"
    return f"isn't an indicator: {', '.join(sorted(metric.name for metric in metrics)) or 'it counts nothing'}"

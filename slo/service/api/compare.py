"""Route of the comparison of an SLO between two label values."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import WEEK, rfc3339
from plimsoll.slo.service.api.models import Row
from plimsoll.slo.service.http.parameters import Since, SloId, Until, require_slo, span
from plimsoll.slo.service.http.problems import READING, ApiError
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.gateway_counts import TENANT
from plimsoll.slo.sli.indicators.latency import HISTOGRAMS
from plimsoll.slo.sli.label_split import OF_REQUESTS, QUANTILES, Side, bracket, compare
from plimsoll.slo.sli.significance import LEVEL, Difference, difference
from plimsoll.slo.sources import SourceError
from plimsoll.slo.spec.objectives import Objective

Baseline = Annotated[
    str, Query(min_length=1, max_length=200, description="Label value to compare with.", examples=["0.31.0"])
]
Candidate = Annotated[
    str, Query(min_length=1, max_length=200, description="Label value to judge.", examples=["0.32.0"])
]
Label = Annotated[
    str,
    Query(
        pattern="^[a-zA-Z_][a-zA-Z0-9_]{0,62}$",
        description="Label of the replicas (version, node, ...), of the requests (deployment, adapter), or tenant (from gateways).",
        examples=["version"],
    ),
]


class Percentile(BaseModel):
    """The two histogram bucket boundaries between which a percentile lies, in seconds."""

    latency: str = Field(json_schema_extra={"enum": [*HISTOGRAMS]})
    quantile: float
    lower: float
    upper: float | None = Field(description="`null`: above the last boundary.")


class Variant(BaseModel):
    """Requests with one value of the label."""

    value: str
    good: int
    total: int
    bad: int
    indeterminate: int = Field(description="Requests among `bad` that may be good.")
    bad_ratio: float | None = Field(description="`null`: no requests.")
    burn_rate: float | None = Field(description="Bad ratio over the bad ratio that the target allows.")
    replicas: int | None = Field(description="Replicas with this value. `null` for a label of requests.")
    percentiles: list[Percentile]


class BadRatioDifference(Row):
    """Bad ratio of the candidate minus that of the baseline, with its 95% confidence interval (Newcombe) and the p-value of Fisher's
    exact test, two-sided. With indeterminate requests: the smallest possible difference.

    Both assume independent requests. Bad requests come in bursts, so be careful with a small p-value from a single burst.
    """

    bad_ratio_difference: float = Field(validation_alias="difference")
    ci_lower: float = Field(validation_alias="low")
    ci_upper: float = Field(validation_alias="high")
    p_value: float
    significant: bool = Field(description=f"p_value < {LEVEL}")


class Comparison(BaseModel):
    """An SLO for two values of a label, in the same time range."""

    id: str
    label: str
    since: str = Field(serialization_alias="from")
    until: str = Field(serialization_alias="to")
    baseline: Variant
    candidate: Variant
    difference: BadRatioDifference | None = Field(description="`null`: one has no requests, or no test is possible.")
    summary: str


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get(
        "/slos/{slo_id}/compare",
        responses=READING,
        tags=["SLOs"],
        summary="Compare an SLO between two label values (for example, versions)",
    )
    def compare_variants(
        slo_id: SloId, label: Label, baseline: Baseline, candidate: Candidate, since: Since = None, until: Until = None
    ) -> Comparison:
        """Counted from the data source, within its retention; the ledger doesn't store labels. At most a week."""
        chosen = require_slo(service, slo_id)
        start, end = span(service, since, until)
        end = min(end, service.clock())
        if not 0 < start < end <= start + WEEK:
            raise ApiError(422, "invalid_time_range", "from, to: must have begun and cover at most a week.")
        first, second = _split(service, chosen, (label, baseline, candidate), (start, end))
        found, summary = _tested(first, second)
        return Comparison(
            id=slo_id,
            label=label,
            since=rfc3339(start),
            until=rfc3339(end),
            baseline=_variant(first, chosen, label),
            candidate=_variant(second, chosen, label),
            difference=found,
            summary=summary,
        )


def _split(
    service: Service, chosen: Objective, split: tuple[str, str, str], span: tuple[float, float]
) -> tuple[Side, Side]:
    """Count the requests with either value of a label; 422 where a value has none, 503 where the source fails."""
    label, *values = split
    try:
        pool = service.spec.pool(chosen.pool)
        (first, second), seen = compare(service.source, chosen, pool, label, (values[0], values[1]), span)
    except SourceError as error:
        raise ApiError(503, "source_unavailable", f"Data source unavailable: {error}") from error
    except ValueError as error:
        raise ApiError(422, "invalid_label", f"label: {error}") from error
    for field, value in zip(("baseline", "candidate"), values, strict=True):
        if value not in seen:
            there = ", ".join(sorted(seen)[:20]) or "none"
            detail = f"{field}: no requests of {chosen.id} with {label}={value!r}. Values with data: {there}."
            raise ApiError(422, "unknown_label_value", detail)
    return first, second


def _variant(side: Side, objective: Objective, label: str) -> Variant:
    ratio = side.bad / side.total if side.total else None
    found = [
        (latency, quantile, bracket(buckets, quantile))
        for latency, buckets in side.buckets.items()
        for quantile in QUANTILES
    ]
    return Variant(
        value=side.value,
        good=side.good,
        total=side.total,
        bad=side.bad,
        indeterminate=side.indeterminate,
        bad_ratio=ratio,
        burn_rate=None if ratio is None else ratio / objective.budget_ratio,
        replicas=None if label in (*OF_REQUESTS, TENANT) else len(side.replicas),
        percentiles=[
            Percentile.model_validate(
                {
                    **{"latency": latency, "quantile": quantile, "lower": between[0]},
                    "upper": None if between[1] == float("inf") else between[1],
                }
            )
            for latency, quantile, between in found
            if between
        ],
    )


def _tested(a: Side, b: Side) -> tuple[BadRatioDifference | None, str]:
    """Test the difference. With indeterminate requests it has two bounds: only what holds at both counts, by the smaller one."""
    bounds = {(a.bad, b.bad - b.indeterminate), (a.bad - a.indeterminate, b.bad)}
    try:
        tested = [difference(bad_a, a.total, bad_b, b.total) for bad_a, bad_b in bounds]
    except ModuleNotFoundError as error:
        return None, f"Not tested: {error.name} isn't installed. Run `pip install 'plimsoll-slo[forecast]'`."
    known = [one for one in tested if one is not None]
    if not known:
        return None, "Not tested: one of the variants has no requests."
    if len(known) > 1 and not (
        all(one.significant for one in known) and len({one.difference > 0 for one in known}) == 1
    ):
        counts = f"{a.indeterminate:,} requests of {a.value} and {b.indeterminate:,} of {b.value} are indeterminate"
        return None, f"Inconclusive: {counts} (between two bucket boundaries)."
    found = min(known, key=lambda one: abs(one.difference))
    return BadRatioDifference.model_validate(found), _summary(a, b, found)


def _bad(side: Side) -> str:
    lower = f"{(side.bad - side.indeterminate) / side.total:.2%}–" if side.indeterminate else ""
    return f"{lower}{side.bad / side.total:.2%} of requests were bad with {side.value}"


def _summary(a: Side, b: Side, found: Difference) -> str:
    interval = f"Difference: {100 * found.low:.2f} to {100 * found.high:.2f} percentage points (95% interval, p = {found.p_value:.2g})."
    word = (
        "not significantly different from"
        if not found.significant
        else "worse than"
        if found.difference > 0
        else "better than"
    )
    return f"{b.value} is {word} {a.value}. {_bad(b)}, {_bad(a)}. {interval}"

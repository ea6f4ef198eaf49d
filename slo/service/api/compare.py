"""The API's route that sets two versions side by side."""

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from plimsoll.slo.calendar import WEEK, rfc3339
from plimsoll.slo.service.http.parameters import Since, Until, of_objective, span
from plimsoll.slo.service.http.problems import READING
from plimsoll.slo.service.state import Service
from plimsoll.slo.sli.gateway_counts import TENANT
from plimsoll.slo.sli.label_split import OF_REQUESTS, QUANTILES, Side, bracket, compare
from plimsoll.slo.sli.significance import LEVEL, Difference, difference
from plimsoll.slo.sources import SourceError
from plimsoll.slo.spec.objectives import Objective

Value = Annotated[str, Query(min_length=1, max_length=200)]
Label = Annotated[
    str,
    Query(
        pattern="^[a-zA-Z_][a-zA-Z0-9_]{0,62}$",
        description="A label of the replicas (version, node, ...), of the requests (deployment, adapter), or tenant: as the gateway saw them.",
    ),
]
LATENCY = Literal["time_to_first_token", "time_per_output_token", "request_duration"]


class Percentile(BaseModel):
    """Between which bucket bounds a percentile lies, in seconds: what histograms know of it, and no more."""

    latency: LATENCY
    quantile: float
    low: float
    high: float | None = Field(description="null: beyond the last bound.")


class SideOut(BaseModel):
    """What carried one value of the label."""

    value: str
    good: int
    total: int
    bad: int
    indeterminate: int = Field(
        description="Of `bad`: may be good, as the limit lies between two bucket bounds (not with `refuse`)."
    )
    bad_ratio: float | None = Field(description="null: no request was seen.")
    burn_rate: float | None = Field(description="Bad ratio over what the target allows.")
    replicas: int | None = Field(description="Replicas that carried it; null where the label is one of requests.")
    percentiles: list[Percentile]


class DifferenceOut(BaseModel):
    """Bad ratio of b less that of a, with its 95 % interval (Newcombe) and the p-value of Fisher's exact test, two-sided. Where requests
    are indeterminate: the least difference that there can be.

    Both take requests as independent; bad ones come in bursts, so a small p-value from one burst says less than it seems to.
    """

    difference: float
    low: float
    high: float
    p_value: float
    significant: bool = Field(description=f"p_value < {LEVEL}")


class Comparison(BaseModel):
    """An objective on two versions, in the slots of one time."""

    id: str
    label: str
    since: str = Field(alias="from")
    until: str = Field(alias="to")
    a: SideOut
    b: SideOut
    difference: DifferenceOut | None = Field(description="null: one of them has no request, or cannot be tested.")
    verdict: str


def add(api: APIRouter, service: Service) -> None:
    """Add the route."""

    @api.get("/slos/{objective}/compare", responses=READING)
    def compared(
        objective: str, label: Label, a: Value, b: Value, since: Since = None, until: Until = None
    ) -> Comparison:
        """From the source's own samples, as far as it remembers: the ledger keeps no versions. A week at most."""
        chosen = of_objective(service, objective)
        start, end = span(service, since, until)
        end = min(end, service.clock())
        if not 0 < start < end <= start + WEEK:
            raise HTTPException(422, "from and to: ask for a time that has begun, and a week at most")
        try:
            pool = service.spec.pool(chosen.pool)
            (one, other), seen = compare(service.source, chosen, pool, label, (a, b), (start, end))
        except SourceError as error:
            raise HTTPException(503, str(error)) from error
        except ValueError as error:
            raise HTTPException(422, f"label: {error}") from error
        for name, value in (("a", a), ("b", b)):
            if value not in seen:
                there = ", ".join(sorted(seen)[:20]) or "none"
                raise HTTPException(422, f"{name}: nothing of {objective} had {label}={value!r} then; seen: {there}")
        found, verdict = _tested(one, other)
        return Comparison(
            id=objective,
            label=label,
            a=_side(one, chosen, label),
            b=_side(other, chosen, label),
            difference=found,
            verdict=verdict,
            **{"from": rfc3339(start), "to": rfc3339(end)},
        )


def _side(side: Side, objective: Objective, label: str) -> SideOut:
    ratio = side.bad / side.total if side.total else None
    found = [
        (latency, quantile, bracket(buckets, quantile))
        for latency, buckets in side.buckets.items()
        for quantile in QUANTILES
    ]
    return SideOut(
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
                    **{"latency": latency, "quantile": quantile, "low": between[0]},
                    "high": None if between[1] == float("inf") else between[1],
                }
            )
            for latency, quantile, between in found
            if between
        ],
    )


def _tested(a: Side, b: Side) -> tuple[DifferenceOut | None, str]:
    """Test the difference; where requests are indeterminate, it has two ends, and only what holds at both is told, by the lesser one."""
    ends = {(a.bad, b.bad - b.indeterminate), (a.bad - a.indeterminate, b.bad)}
    try:
        tested = [difference(bad_a, a.total, bad_b, b.total) for bad_a, bad_b in ends]
    except ModuleNotFoundError as error:
        return None, f"Not tested: {error.name} is not installed: pip install 'plimsoll-slo[forecast]'"
    known = [one for one in tested if one is not None]
    if not known:
        return None, "Not tested: one of them has no request."
    if len(known) > 1 and not (
        all(one.significant for one in known) and len({one.difference > 0 for one in known}) == 1
    ):
        between = f"{a.indeterminate:,} of {a.value}'s requests and {b.indeterminate:,} of {b.value}'s lie between two bucket bounds"
        return None, f"No difference can be told: {between}, and may be good."
    found = min(known, key=lambda one: abs(one.difference))
    out = DifferenceOut(**asdict(found), significant=found.significant)
    return out, _verdict(a, b, found)


def _share(side: Side) -> str:
    least = f"{(side.bad - side.indeterminate) / side.total:.2%} to " if side.indeterminate else ""
    return f"{least}{side.bad / side.total:.2%}"


def _verdict(a: Side, b: Side, found: Difference) -> str:
    shares = f"{_share(b)} of {b.value}'s requests were bad, {_share(a)} of {a.value}'s"
    between = f"the difference is between {100 * found.low:.2f} and {100 * found.high:.2f} points (95 %), p = {found.p_value:.2g}"
    if not found.significant:
        return f"No difference can be told from chance: {shares}; {between}."
    return f"{b.value} was {'worse' if found.difference > 0 else 'better'} than {a.value}: {shares}; {between}."

"""The pages of one objective and of one pool: where it stands, what it was like, and what to do."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.capacity.recommendation.models import Rule
from plimsoll.slo.error_budget.attribution import PREVENTABLE
from plimsoll.slo.reports.attribution import attributed_with_worst
from plimsoll.slo.reports.pool_cost import cost_of
from plimsoll.slo.service.api.pools import known
from plimsoll.slo.service.api.tenants import budgets_of_tenants
from plimsoll.slo.service.http.parameters import of_objective, window_or
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import Objective

CAUSES = {
    "errors": "failed or rejected",
    "replica_loss": "a replica was lost",
    "preemption": "preemption: KV cache full",
    "kv_cache": "KV cache nearly full",
    "queue": "requests queued",
    "other": "load was normal",
    "unknown": "unknown: pool not observed",
    "indeterminate": "indeterminate: between two bucket bounds, may be good",
}
RULES: dict[Rule | None, str] = {
    "demand": "what arrives and waits",
    "slo": "the promise, on the traffic of late",
    "queue": "requests waiting per node",
    "kv_cache": "the KV cache",
    "max_nodes": "the pool's most nodes",
    "min_nodes": "the pool's fewest nodes",
    "scale_in": "fewer would have carried the hold time",
    "hold": "no rule asks for more, and none may be released",
    "no_data": "nothing is known",
}
WORST = 8  # slots that are listed
TENANTS = 20  # that are listed
SAID = 12  # recommendations that are listed
Hours = Annotated[int, Query(ge=1, le=24 * 28)]
SPANS = {6: "6 hours", 24: "1 day", 168: "1 week"}


def add(pages: APIRouter, templates: Jinja2Templates, service: Service) -> None:
    """Add both pages."""
    templates.env.globals |= {"causes": CAUSES, "rules": RULES, "helped": PREVENTABLE, "spans": SPANS}
    templates.env.filters["rfc3339"] = rfc3339

    @pages.get("/slos/{objective}")
    def objective_page(request: Request, objective: str, hours: Hours = 24) -> HTMLResponse:
        return templates.TemplateResponse(request, "objective.html", _objective(service, objective, hours))

    @pages.get("/pools/{pool}")
    def pool_page(request: Request, pool: str, hours: Hours = 24) -> HTMLResponse:
        known(service, pool)
        return templates.TemplateResponse(request, "pool.html", _pool(service, pool, hours))


def _objective(service: Service, name: str, hours: int) -> dict[str, Any]:
    objective, evaluated = of_objective(service, name), service.evaluated()
    start, end = window_or(service, objective, None, None)
    attribution, worst = attributed_with_worst(service.records, objective, start, end, WORST)
    return {
        "budget": evaluated.budgets[name],
        "exhaustion": evaluated.exhaustions[name],
        "tenants": _tenants(service, objective, evaluated.at),
        "attribution": attribution,
        "worst": worst,
        "exclusions": [one for one in service.records.exclusions() if one.covers(objective) and one.end > start],
        "advice": service.recommendation(objective.pool),
        "at": evaluated.at,
        "hours": hours,
        "since": rfc3339(evaluated.at - hours * 3600),
    }


def _tenants(service: Service, objective: Objective, now: float) -> dict[str, Any] | None:
    """The tenants with the worst budgets, and what all of them did; None where they are not told apart."""
    if not objective.group_by:
        return None
    whole, found = budgets_of_tenants(service, objective, now)
    return {"all": whole, "worst": found[:TENANTS], "number": len(found)}


def _pool(service: Service, name: str, hours: int) -> dict[str, Any]:
    evaluated, advice = service.evaluated(), service.recommendation(name)
    throughput = service.throughput(name)
    return {
        "pool": service.spec.pool(name),
        "advice": advice,
        "evidence": _flat(advice.evidence),
        "capacity": throughput.mean if throughput else None,
        "cost": cost_of(service.records, service.spec.pool(name), throughput, 1),
        "said": service.ledger.recommendations(name, SAID),
        "budgets": [budget for budget in evaluated.budgets.values() if budget.objective.pool == name],
        "at": evaluated.at,
        "hours": hours,
        "since": rfc3339(evaluated.at - hours * 3600),
    }


def _flat(evidence: dict[str, Any]) -> dict[str, str]:
    """Write what a recommendation rests on as words and figures."""
    return {name.replace("_", " "): _text(value) for name, value in evidence.items()}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return "unknown" if value is None else f"{value:,g}" if isinstance(value, int | float) else str(value)

"""The pages of one SLO and of one pool."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from plimsoll.slo.reports.attribution import attributed_with_worst
from plimsoll.slo.reports.pool_cost import cost_of
from plimsoll.slo.service.api.recommendations import answered
from plimsoll.slo.service.api.rollouts import status as rollout_status
from plimsoll.slo.service.api.slos import window_definitions
from plimsoll.slo.service.api.tenants import budgets_of_tenants
from plimsoll.slo.service.http.parameters import require_pool, require_slo, window_or
from plimsoll.slo.service.pages.time_range import Asked, AskedRange
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.event import AnnouncedEvent
from plimsoll.slo.spec.objectives import Objective

WORST_SLOTS, TENANTS, RECENT = 8, 20, 12  # rows of the pages' tables
NEXT_STEPS = (
    *("pause_batch", "batch_pool_yields", "wake_replicas"),
    *("activate_warm_spares", "start_nodes", "restore_warm_spares", "weakest_replicas"),
)


def add(pages: APIRouter, templates: Jinja2Templates, service: Service) -> None:
    """Add both pages."""

    @pages.get("/slos/{slo_id}")
    def slo_page(request: Request, slo_id: str, asked: AskedRange) -> HTMLResponse:
        return templates.TemplateResponse(request, "slo.html", _slo(service, slo_id, asked))

    @pages.get("/pools/{pool}")
    def pool_page(request: Request, pool: str, asked: AskedRange) -> HTMLResponse:
        return templates.TemplateResponse(request, "pool.html", _pool(service, pool, asked))


def _slo(service: Service, slo_id: str, asked: Asked) -> dict[str, Any]:
    objective, evaluated = require_slo(service, slo_id), service.evaluated()
    start, end = window_or(service, objective, None, None)
    shown = asked.shown(evaluated.at, start)
    span = (shown.start, shown.end)
    attribution, worst = attributed_with_worst(service.records, objective, (start, end), span, WORST_SLOTS)
    return {
        "budget": evaluated.budgets[slo_id],
        "exhaustion": evaluated.exhaustions[slo_id],
        "tenants": _tenants(service, objective, evaluated.at),
        "attribution": attribution,
        "worst": worst,
        "exclusions": [one for one in service.records.exclusions() if one.covers(objective) and one.end > start],
        "recommendation": service.recommendation(objective.pool),
        "definitions": window_definitions(service, evaluated.budgets[slo_id], evaluated.at),
        "problems": service.problems.of(objective.pool, slo_id),
        "shown": shown,
        "at": evaluated.at,
    }


def _tenants(service: Service, objective: Objective, now: float) -> dict[str, Any] | None:
    """Return the tenants with the worst budgets, and all together; None where they are not counted separately."""
    if not objective.group_by:
        return None
    total, found = budgets_of_tenants(service, objective, now)
    return {"total": total, "worst": found[:TENANTS], "number": len(found)}


def _pool(service: Service, name: str, asked: Asked) -> dict[str, Any]:
    pool, evaluated, found = require_pool(service, name), service.evaluated(), service.recommendation(name)
    throughput, reasons = service.throughput(name), list(zip(found.reason_codes, found.reasons, strict=False))
    return {
        "pool": pool,
        "rollout": rollout_status(service, name).rollout,
        "recommendation": found,
        "events": _coming(service, name),
        "problems": service.problems.of(name),
        "reasons": [text for code, text in reasons if code not in NEXT_STEPS],
        "next_steps": [text for code, text in reasons if code in NEXT_STEPS],
        "evidence": {name.replace("_", " "): _text(value) for name, value in found.evidence.items()},
        "capacity": throughput.mean if throughput else None,
        "cost": cost_of(service.records, pool, throughput, 1),
        "recent_recommendations": answered(service, name, RECENT),
        "budgets": [budget for budget in evaluated.budgets.values() if budget.objective.pool == name],
        "shown": asked.shown(evaluated.at),
        "at": evaluated.at,
    }


def _coming(service: Service, pool: str) -> list[AnnouncedEvent]:
    """Return a pool's events that have not ended, the next one first."""
    found = [one for one in service.records.events() if one.covers(pool) and one.end > service.clock()]
    return sorted(found, key=lambda one: one.start)


def _text(value: Any) -> str:
    """Write a piece of evidence as text."""
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(one)}" for name, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    return "no data" if value is None else f"{value:,g}" if isinstance(value, int | float) else str(value)

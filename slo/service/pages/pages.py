"""HTML pages: SLOs, one SLO and how it was counted, one pool, what-if analysis, reviews, runbooks, API. They load nothing from other hosts."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.service.pages import api_reference, counted, detail, downloads, reviews, whatif
from plimsoll.slo.service.pages.runbooks import contents, render_runbook, render_runbooks
from plimsoll.slo.service.pages.templates import page_templates
from plimsoll.slo.service.pages.text import shown_status
from plimsoll.slo.service.state import Service

URGENCY = ("exhausted", "burning", "unknown", "ok")


def router(service: Service, runbooks: str, grafana: str) -> APIRouter:
    """Return the routes of the pages."""
    pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    templates = page_templates()

    @pages.get("/")
    def slos_page(request: Request) -> HTMLResponse:
        evaluated = service.evaluated()
        found = sorted(evaluated.budgets.values(), key=_urgency)
        recommendations = [service.recommendation(pool.name) for pool in service.spec.pools]
        context = {
            "budgets": found,
            "exhaustions": evaluated.exhaustions,
            "pools": [pool.name for pool in service.spec.pools],
            "recommendations": recommendations,
            "simulated": any(item.counted.simulated for item in found)
            or any(item.simulated for item in recommendations),
            "proposed": service.spec.proposed,
            "problems": {one.objective.id: service.problems.of(one.objective.pool, one.objective.id) for one in found},
            "unassigned": service.problems.of(""),
            "not_ready": service.not_ready_reasons(),
            "source": service.source.name,
            "at": evaluated.at,
        }
        return templates.TemplateResponse(request, "slos.html", context)

    downloads.add(pages, service)
    detail.add(pages, templates, service)
    counted.add(pages, templates, service, grafana)
    whatif.add(pages, templates, service)
    api_reference.add(pages, templates)
    reviews.add(pages, templates, service)
    _runbook_pages(pages, templates, runbooks, grafana)
    return pages


def _runbook_pages(pages: APIRouter, templates: Jinja2Templates, runbooks: str, grafana: str) -> None:
    rendered = {"contents": contents(runbooks), "content": render_runbooks(runbooks)}  # once: the page needs no token

    @pages.get("/runbooks")
    def runbooks_page(request: Request) -> HTMLResponse:
        return templates.TemplateResponse(request, "runbooks.html", rendered)

    @pages.get("/runbooks/{alert}")
    def runbook_page(request: Request, alert: str) -> HTMLResponse:
        """Fill in nothing but the address's own parameters: the page needs no token."""
        base = str(request.base_url).rstrip("/")
        content = render_runbook(runbooks, alert, request.query_params, base, grafana)
        if content is None:
            raise HTTPException(404, f"No runbook for {alert!r}. See /runbooks.")
        return templates.TemplateResponse(request, "runbooks.html", {"content": content, "alert": alert})


def _urgency(budget: Budget) -> tuple[bool, int]:
    """Return a sort key: firing alerts first, then by status; otherwise the order of the objectives file."""
    return not budget.firing, URGENCY.index(shown_status(budget))

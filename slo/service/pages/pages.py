"""Pages for people: all budgets, one of them, one pool, what-if, the weekly review, and the runbooks. Everything they load is served from here, so they work air-gapped."""

from datetime import UTC, datetime
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.templating import Jinja2Templates
from markdown_it import MarkdownIt
from markdown_it.token import Token

from plimsoll.slo.calendar import WEEK, start_of, week_of
from plimsoll.slo.error_budget.budget import Budget
from plimsoll.slo.error_budget.exhaustion import LEAST_COVERAGE, Exhaustion
from plimsoll.slo.service.api import reviews
from plimsoll.slo.service.pages import detail, whatif
from plimsoll.slo.service.state import Service
from plimsoll.slo.units import duration_text, percent_text

STATUS_SIGNS = {"ok": "✓", "burning": "▲", "exhausted": "✕", "unknown": "?"}
URGENT = ("exhausted", "burning", "unknown", "ok")
STATUS_WORDS = {
    "ok": "within budget",
    "burning": "burning too fast",
    "exhausted": "budget spent",
    "unknown": "unknown: no requests seen",
}


def router(service: Service, runbooks: str) -> APIRouter:
    """Build the pages' routes."""
    pages = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
    templates = Jinja2Templates(directory=Path(__file__).parents[1] / "templates")
    templates.env.filters |= {
        "percent": _percent,
        "exact_percent": percent_text,
        "span": duration_text,
        "standing": _standing,
        "about": _about,
        "will_exhaust": _runs_out,
        "plain": lambda text: str(text).replace("_", " ").replace("<=", "≤"),
    }
    templates.env.globals["signs"] = STATUS_SIGNS

    @pages.get("/")
    def budgets(request: Request) -> HTMLResponse:
        evaluated = service.evaluated()
        found = sorted(evaluated.budgets.values(), key=_urgency)
        advice = [service.recommendation(pool.name) for pool in service.spec.pools]
        context = {
            "budgets": found,
            "exhaustions": evaluated.exhaustions,
            "recommendations": advice,
            "simulated": any(item.counted.simulated for item in found) or any(item.simulated for item in advice),
            "trouble": service.not_ready(),
            "source": service.source.name,
        }
        return templates.TemplateResponse(request, "budgets.html", context)

    detail.add(pages, templates, service)
    whatif.add(pages, templates, service)

    @pages.get("/reviews")
    def last_review() -> RedirectResponse:
        return RedirectResponse(f"/reviews/{week_of(service.clock() - WEEK)}")

    @pages.get("/reviews/{week}")
    def review_page(request: Request, week: str, fresh: bool = False) -> HTMLResponse:
        reviewed = reviews.found(service, week, fresh)
        start = start_of(week)
        after = week_of(start + WEEK) if start + WEEK <= service.clock() else None
        first, last = (datetime.fromtimestamp(at, UTC) for at in (start, start + WEEK - 1))
        days = f"{first:%A} {first.day} {first:%B} to {last:%A} {last.day} {last:%B %Y}, UTC"
        context = {"review": reviewed, "days": days, "before": week_of(start - WEEK), "after": after, "fresh": fresh}
        return templates.TemplateResponse(request, "review.html", context)

    @pages.get("/runbooks")
    def runbook_page(request: Request) -> HTMLResponse:
        return templates.TemplateResponse(request, "runbooks.html", {"content": render_runbooks(runbooks)})

    return pages


def _standing(budget: Budget) -> str:
    """Say where a budget stands, and of an unknown one why."""
    if budget.status == "unknown" and budget.counted.indeterminate:
        return "unknown: it depends on requests between two bucket bounds"
    if budget.status == "unknown" and not budget.counted.covered_seconds:
        return "unknown: nothing was counted; plimsoll check --source says why"
    return STATUS_WORDS[budget.status]


def _urgency(budget: Budget) -> tuple[bool, int]:
    """What somebody must look at first comes first; the rest stays in the order of the objectives file."""
    return not any(burn.firing for burn in budget.burns), URGENT.index(budget.status)


def _percent(ratio: float) -> str:
    """Write a ratio with a true minus sign, which no line break parts from its number."""
    return f"{ratio:.1%}".replace("-", "−")


def _about(seconds: float) -> str:
    """Write a span as a person says it: 3.4 min, 2.1 h, 12.0 d."""
    for size, unit in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _runs_out(found: Exhaustion) -> str:
    """Say when a budget runs out, with the interval, as a person says it."""
    if found.state == "exhausted":
        return "is spent"
    if found.state == "unknown":
        seen = f", {_percent(found.coverage)} of the last day observed" if found.coverage < LEAST_COVERAGE else ""
        return f"runs out: unknown{seen}"
    if found.seconds is None or found.earliest is None:
        perhaps = "" if found.earliest is None else f" (perhaps spent in {_about(found.earliest)})"
        return f"holds at today's pace{perhaps}"
    latest = "never" if found.latest is None else _about(found.latest)
    return f"runs out in {_about(found.seconds)} ({_about(found.earliest)} to {latest}) at today's pace"


def render_runbooks(text: str) -> str:
    """Turn the runbooks' Markdown into HTML whose headings can be linked to by their lower-case text."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(tokens[index + 1]))
    rendered: str = markdown.renderer.render(tokens, markdown.options, {})
    return rendered


def _anchor(heading: Token) -> str:
    return heading.content.strip().lower().replace(" ", "-")

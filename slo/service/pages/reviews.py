"""The pages of reviews: a week with its recommendations and forecasts, a month or a quarter with SLOs combined over pools and teams."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.templating import Jinja2Templates

from plimsoll.slo.calendar import WEEK, PeriodKind, period_bounds, period_of, start_of, week_of
from plimsoll.slo.reports.periods.review import last_ended
from plimsoll.slo.reports.summary.opening import opening
from plimsoll.slo.service.api.period_reviews import period_review_of
from plimsoll.slo.service.api.reviews import review_of
from plimsoll.slo.service.state import Service


def add(pages: APIRouter, templates: Jinja2Templates, service: Service) -> None:
    """Add both pages."""

    @pages.get("/reviews")
    def latest_review(period: PeriodKind = "week") -> RedirectResponse:
        return RedirectResponse(f"/reviews/{last_ended(period, service.clock())}")

    @pages.get("/reviews/{period}")
    def review_page(request: Request, period: str, recompute: bool = False) -> HTMLResponse:
        if "-W" not in period:
            return templates.TemplateResponse(request, "period.html", _period(service, period))
        return templates.TemplateResponse(request, "review.html", _week(service, period, recompute))


def _week(service: Service, week: str, recompute: bool) -> dict[str, Any]:
    review = review_of(service, week, recompute)
    start = start_of(week)
    elapsed = min(WEEK, service.clock() - start)
    return {
        "review": review,
        "opening": opening(review, elapsed).paragraph,
        "days": f"{_days(start, start + WEEK)} (UTC)",
        "previous": week_of(start - WEEK),
        "next": week_of(start + WEEK) if start + WEEK <= service.clock() else None,
        "recompute": recompute,
        "week_seconds": WEEK,
        "elapsed_seconds": elapsed,
        "has_data": any(slo.total or slo.coverage for slo in review.slos),
    }


def _period(service: Service, period: str) -> dict[str, Any]:
    review = period_review_of(service, period)
    kind, start, end = period_bounds(review.period)
    return {
        "review": review,
        "days": f"{_days(start, end)} (UTC)",
        "next": period_of(kind, end) if end <= service.clock() else None,
        "teams": any(one.kind == "team" for one in review.combined),
        "has_data": any(slo.total or slo.coverage for slo in review.slos),
    }


def _days(start: float, end: float) -> str:
    first, last = (datetime.fromtimestamp(at, UTC) for at in (start, end - 1))
    return f"{first:%a, %b} {first.day} – {last:%a, %b} {last.day}, {last:%Y}"

"""Routes of the weekly review, as JSON and as CSV."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ValidationError

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.documents import saved_weeks
from plimsoll.slo.reports import review_csv
from plimsoll.slo.reports.review_archive import saved_or_current
from plimsoll.slo.reports.review_models import Review
from plimsoll.slo.service.http.parameters import BEFORE, LIMIT, NEXT, link
from plimsoll.slo.service.http.problems import READING, ApiError
from plimsoll.slo.service.state import Service

IsoWeek = Annotated[str, Path(description="ISO week in UTC.", examples=["2026-W47"], max_length=8)]
Recompute = Annotated[bool, Query(description="Compute the review from current data, even if a saved one exists.")]


class SavedReview(BaseModel):
    """A week with a saved review."""

    week: str
    generated_at: str


class SavedReviews(BaseModel):
    """Weeks with a saved review, newest first."""

    reviews: list[SavedReview]
    next: str | None = NEXT


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""

    @api.get("/reviews", responses=READING, tags=["Reviews"], summary="List saved weekly reviews")
    def list_reviews(
        before: Annotated[str | None, Query(description=BEFORE, pattern=r"^[0-9]{4}-W[0-9]{2}$")] = None,
        limit: Annotated[int, Query(description=LIMIT, ge=1, le=520)] = 104,
    ) -> SavedReviews:
        """A review is saved on Monday, once its week is recorded."""
        rows = saved_weeks(service.ledger.engine, before, limit + 1)
        following = link("/api/v1/reviews", before=rows[limit - 1][0], limit=limit) if len(rows) > limit else None
        shown = [SavedReview(week=week, generated_at=rfc3339(generated_at)) for week, generated_at in rows[:limit]]
        return SavedReviews(reviews=shown, next=following)

    @api.get("/reviews/{week}", responses=READING, tags=["Reviews"], summary="Get a weekly review")
    def get_review(week: IsoWeek, recompute: Recompute = False) -> Review:
        """The saved review with its revisions, or the current one where none is saved."""
        return review_of(service, week, recompute)

    @api.get(
        "/reviews/{week}/csv",
        responses={**READING, 200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
        response_class=Response,
        tags=["Reviews"],
        summary="Download a weekly review as CSV",
    )
    def get_review_csv(week: IsoWeek, recompute: Recompute = False) -> Response:
        """One row per figure, with its unit and the previous week's value."""
        name = {"Content-Disposition": f'attachment; filename="plimsoll-{week}.csv"'}
        body = review_csv.to_csv(review_of(service, week, recompute))
        return Response(body, media_type="text/csv", headers=name)


def review_of(service: Service, week: str, recompute: bool) -> Review:
    """Return a week's review; 422 for a week that does not exist or has not begun."""
    try:
        return saved_or_current(service.records, week, recompute)
    except ValidationError:
        raise  # a saved review that can't be read is an internal error, not the caller's
    except ValueError as error:
        raise ApiError(422, "invalid_week", f"week: {error}") from error

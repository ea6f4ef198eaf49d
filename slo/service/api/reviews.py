"""The API's routes for the weekly review: which are kept, one as JSON, and as CSV for a spreadsheet."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response
from pydantic import BaseModel, ValidationError

from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.documents import saved_weeks
from plimsoll.slo.reports import review_csv
from plimsoll.slo.reports.review_archive import kept_or_fresh
from plimsoll.slo.reports.review_models import Review
from plimsoll.slo.service.http.parameters import NEXT, link
from plimsoll.slo.service.http.problems import READING
from plimsoll.slo.service.state import Service

Named = Annotated[str, Path(description="An ISO week, such as 2026-W47, in UTC.", max_length=8)]
Fresh = Annotated[
    bool, Query(description="Work it out from today's ledger, also where a review of that week was made and kept.")
]


class KeptReview(BaseModel):
    """A week whose review was made and kept."""

    week: str
    generated_at: str


class KeptReviews(BaseModel):
    """Weeks with a kept review, newest first."""

    reviews: list[KeptReview]
    next: str | None = NEXT


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""

    @api.get("/reviews", responses=READING)
    def kept(
        before: Annotated[
            str | None, Query(description="Only weeks before this one.", pattern=r"^[0-9]{4}-W[0-9]{2}$")
        ] = None,
        limit: Annotated[int, Query(ge=1, le=520)] = 104,
    ) -> KeptReviews:
        rows = saved_weeks(service.ledger.engine, before, limit + 1)
        following = link("/api/v1/reviews", before=rows[limit - 1][0], limit=limit) if len(rows) > limit else None
        shown = [KeptReview(week=week, generated_at=rfc3339(generated_at)) for week, generated_at in rows[:limit]]
        return KeptReviews(reviews=shown, next=following)

    @api.get("/reviews/{week}", responses=READING)
    def as_json(week: Named, fresh: Fresh = False) -> Review:
        return found(service, week, fresh)

    @api.get("/reviews/{week}/csv", responses=READING, response_class=Response)
    def as_csv(week: Named, fresh: Fresh = False) -> Response:
        name = {"Content-Disposition": f'attachment; filename="plimsoll-{week}.csv"'}
        return Response(review_csv.to_csv(found(service, week, fresh)), media_type="text/csv", headers=name)


def found(service: Service, week: str, fresh: bool) -> Review:
    """Review a week; a week that is none or has not begun is 422."""
    try:
        return kept_or_fresh(service.records, week, fresh)
    except ValidationError:
        raise  # a kept review that cannot be read is our fault, not the caller's
    except ValueError as error:
        raise HTTPException(422, f"week: {error}") from error

"""Routes of the reviews of weeks, months and quarters with SLOs combined over pools and teams, as JSON and as CSV."""

from typing import Annotated, get_args

from fastapi import APIRouter, Path, Response

from plimsoll.slo.calendar import PeriodKind
from plimsoll.slo.reports.periods import table
from plimsoll.slo.reports.periods.models import PeriodReview
from plimsoll.slo.reports.periods.review import last_ended, period_review
from plimsoll.slo.service.http.problems import READING, ApiError
from plimsoll.slo.service.state import Service

Period = Annotated[
    str,
    Path(
        description="ISO week, month, or quarter in UTC: 2026-W47, 2026-11, 2026-Q4. `week`, `month`, `quarter`: the last that has ended.",
        examples=["2026-Q4"],
        max_length=8,
    ),
]


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""

    @api.get(
        "/period-reviews/{period}",
        responses=READING,
        tags=["Reviews"],
        summary="Get the review of a week, month, or quarter, combined over pools and teams",
    )
    def get_period_review(period: Period) -> PeriodReview:
        """Computed from current data, also for a week with a saved review."""
        return period_review_of(service, period)

    @api.get(
        "/period-reviews/{period}/csv",
        responses={**READING, 200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
        response_class=Response,
        tags=["Reviews"],
        summary="Download the review of a week, month, or quarter as CSV",
    )
    def get_period_review_csv(period: Period) -> Response:
        """One row per figure, with its unit and the previous period's value."""
        review = period_review_of(service, period)
        name = {"Content-Disposition": f'attachment; filename="plimsoll-{review.period}.csv"'}
        return Response(table.to_csv(review), media_type="text/csv", headers=name)


def period_review_of(service: Service, period: str) -> PeriodReview:
    """Return a period's review; 422 for a period that does not exist or has not begun."""
    kinds: dict[str, PeriodKind] = {kind: kind for kind in get_args(PeriodKind)}
    try:
        name = last_ended(kinds[period], service.clock()) if period in kinds else period
        return period_review(service.records, name)
    except ValueError as error:
        raise ApiError(422, "invalid_period", f"period: {error}") from error

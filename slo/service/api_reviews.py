"""The API's routes for the weekly review: JSON, and CSV for a spreadsheet."""

from typing import Annotated

import pandas as pd
from fastapi import APIRouter, HTTPException, Path, Response

from slo.service.problems import READING
from slo.service.review import Review, review
from slo.service.state import Service

COLUMNS = (
    *("id", "pool", "target", "met", "good", "total", "bad", "good_ratio", "budget_spent", "coverage"),
    "excluded_seconds",
)
Named = Annotated[str, Path(description="An ISO week, such as 2026-W47, in UTC.", max_length=8)]


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""

    @api.get("/reviews/{week}", responses=READING)
    def as_json(week: Named) -> Review:
        return found(service, week)

    @api.get("/reviews/{week}/csv", responses=READING, response_class=Response)
    def as_csv(week: Named) -> Response:
        rows = [item.model_dump(include=set(COLUMNS)) for item in found(service, week).objectives]
        text = pd.DataFrame(rows, columns=list(COLUMNS)).assign(week=week).to_csv(index=False)
        name = {"Content-Disposition": f'attachment; filename="plimsoll-{week}.csv"'}
        return Response(text, media_type="text/csv", headers=name)


def found(service: Service, week: str) -> Review:
    """Review a week; a week that is none or has not begun is 422."""
    try:
        return review(service, week)
    except ValueError as error:
        raise HTTPException(422, f"week: {error}") from error

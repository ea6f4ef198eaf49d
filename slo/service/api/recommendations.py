"""Routes of recommendations: the current one, past ones, and the answers that people give to them."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from plimsoll.slo.capacity.recommendation.models import Recommendation
from plimsoll.slo.ledger import manual_changes
from plimsoll.slo.service.api.manual import ManualChange, author
from plimsoll.slo.service.api.models import Row, Timestamp
from plimsoll.slo.service.http.parameters import LIMIT, PoolName, require_pool, unix
from plimsoll.slo.service.http.problems import READING, WRITING, ApiError
from plimsoll.slo.service.state import Service

ANSWER = "done: carried out; later: agreed, but not yet; no: declined."
MadeAt = Annotated[
    datetime,
    Path(
        description="Time of the recommendation (RFC 3339), as `at` in its history.", examples=["2026-11-29T21:00:00Z"]
    ),
]


class AcknowledgementRequest(ManualChange):
    """An answer to a recommendation. The audit keeps it; a later answer replaces it."""

    answer: manual_changes.Answer = Field(description=ANSWER)


class Acknowledgement(Row):
    """The newest answer to a recommendation."""

    answer: manual_changes.Answer = Field(description=ANSWER)
    actor: str
    reason: str
    at: Timestamp


class PastRecommendation(Recommendation):
    """A recommendation that was made, and its answer."""

    acknowledgement: Acknowledgement | None = Field(None, description="`null`: not answered.")


class RecommendationHistory(BaseModel):
    """Recommendations that changed the action or the number of nodes, newest first."""

    recommendations: list[PastRecommendation]


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""

    @api.get(
        "/pools/{pool}/recommendation",
        responses=READING,
        tags=["Capacity"],
        summary="Get the current node recommendation",
    )
    def get_recommendation(pool: PoolName) -> Recommendation:
        """Evaluated every 10 seconds."""
        require_pool(service, pool)
        return service.recommendation(pool)

    @api.get(
        "/pools/{pool}/recommendation/history",
        responses=READING,
        tags=["Capacity"],
        summary="List past recommendations",
    )
    def list_recommendations(
        pool: PoolName, limit: Annotated[int, Query(description=LIMIT, ge=1, le=1000)] = 100
    ) -> RecommendationHistory:
        """Those that changed the action or the number of nodes, newest first, with their answers."""
        require_pool(service, pool)
        return RecommendationHistory(recommendations=answered(service, pool, limit))

    _answer_route(api, service)


def _answer_route(api: APIRouter, service: Service) -> None:
    @api.post(
        "/pools/{pool}/recommendations/{at}/acknowledgements",
        status_code=201,
        responses=WRITING,
        tags=["Capacity"],
        summary="Acknowledge a recommendation: done, later, or no",
    )
    def acknowledge_recommendation(
        pool: PoolName, at: MadeAt, body: AcknowledgementRequest, request: Request
    ) -> Acknowledgement:
        """It changes no recommendation. The weekly review shows the newest answer."""
        require_pool(service, pool)
        actor = author(request, body.actor, "actor")
        given = manual_changes.Acknowledgement(pool, round(unix(at)), body.answer, actor, body.reason, service.clock())
        try:
            manual_changes.acknowledge(service.ledger.engine, given)
        except KeyError as error:
            detail = f"Pool {pool} has no recommendation of {at.isoformat()}. Use an `at` of its history."
            raise ApiError(404, "unknown_recommendation", detail) from error
        return Acknowledgement.model_validate(given)


def answered(service: Service, pool: str, limit: int) -> list[PastRecommendation]:
    """Return the newest recommendations of a pool, newest first, with their answers."""
    answers = manual_changes.acknowledgements(service.ledger.engine, pool)
    found = []
    for body in service.ledger.recommendations(pool, limit):
        given = answers.get(round(body["at"]))
        answer = None if given is None else Acknowledgement.model_validate(given)
        found.append(PastRecommendation.model_validate(body | {"acknowledgement": answer}))
    return found

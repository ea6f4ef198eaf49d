"""The API's routes that change what is counted, by hand and on record: exclusions, corrections, and the audit of both."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Query, Request, Response

from slo.exclusions import Exclusion
from slo.ledger.booking import SlotCount
from slo.ledger.by_hand import AlreadyWithdrawn, audit_rows, exclude, withdraw
from slo.service import change_models, models
from slo.service.history import rfc3339
from slo.service.problems import READING, WRITING
from slo.service.state import Service
from slo.windows import SLOT

LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()  # an exclusion beyond is a slip of the pen


def add(api: APIRouter, service: Service) -> None:
    """Add the routes."""
    _exclusion_routes(api, service)
    _correction_routes(api, service)


def _author(request: Request, who: str) -> str:
    """Return who says it, and by whose token: the second cannot be made up."""
    caller = request.scope.get("plimsoll_caller")
    return f"{who} (token {caller})" if caller else who


def _exclusion_routes(api: APIRouter, service: Service) -> None:
    @api.get("/exclusions", responses=READING)
    def exclusions() -> change_models.Exclusions:
        return change_models.Exclusions(exclusions=[_exclusion(item) for item in service.exclusions()])

    @api.get("/exclusions/{id}", responses=READING)
    def exclusion(id: UUID) -> change_models.ExclusionOut:
        found = next((item for item in service.exclusions() if item.id == str(id)), None)
        if found is None:
            raise HTTPException(404, f"no exclusion {id}")
        return _exclusion(found)

    @api.post("/exclusions", status_code=201, responses=WRITING)
    def add_exclusion(
        body: change_models.NewExclusion, request: Request, response: Response
    ) -> change_models.ExclusionOut:
        start, end = body.since.timestamp(), body.until.timestamp()
        if not 0 < start < end < LATEST:
            raise HTTPException(422, "from and to must lie between 1970 and 2200, and to after from")
        for kind, name, known in (
            ("objective", body.objective, [item.id for item in service.spec.objectives]),
            ("pool", body.pool, [item.name for item in service.spec.pools]),
        ):
            if name is not None and name not in known:
                raise HTTPException(422, f"{kind}: there is no {name!r}; there are {', '.join(known)}")
        if body.objective and body.pool:
            raise HTTPException(422, "name an objective or a pool, not both; neither for everything")
        wished = Exclusion(start, end, _author(request, body.who), body.why, body.objective, body.pool)
        kept = exclude(service.ledger.engine, wished, service.clock())
        service.judge()
        response.headers["Location"] = f"/api/v1/exclusions/{kept.id}"
        return _exclusion(kept)

    @api.post("/exclusions/{id}/withdrawal", responses=WRITING)
    def withdraw_exclusion(id: UUID, body: change_models.Reason, request: Request) -> change_models.ExclusionOut:
        try:
            who = _author(request, body.who)
            gone = withdraw(service.ledger.engine, str(id), who, body.why, service.clock())
        except KeyError as error:
            raise HTTPException(404, f"no exclusion {id}") from error
        except AlreadyWithdrawn as error:
            raise HTTPException(409, f"exclusion {id} is withdrawn already") from error
        service.judge()
        return _exclusion(gone)


def _correction_routes(api: APIRouter, service: Service) -> None:
    @api.post("/slos/{objective}/corrections", status_code=201, responses=WRITING)
    def correct(objective: str, body: change_models.Correction, request: Request) -> models.Slot:
        if objective not in {item.id for item in service.spec.objectives}:
            raise HTTPException(404, f"no objective {objective!r}")
        start, now = body.start.timestamp(), service.clock()
        if start % SLOT or not max(0.0, service.thinned_until) <= start < now:
            raise HTTPException(422, "start: is not the start of a kept slot: whole five minutes of UTC, in the past")
        if body.good > body.total:
            raise HTTPException(422, f"good {body.good} is more than total {body.total}")
        count = SlotCount(int(start), body.good, body.total, body.covered_seconds, "")
        service.ledger.correct(objective, count, _author(request, body.who), body.why, now)
        service.judge()
        (row,) = service.ledger.slots(objective, start, start + SLOT)
        return models.Slot(**{**row._asdict(), "start": rfc3339(row.slot)})

    @api.get("/audit", responses=READING)
    def audit(
        before: Annotated[int | None, Query(ge=1, le=2**31, description="Only rows with an id below this.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> change_models.Audit:
        rows = audit_rows(service.ledger.engine, before, limit)
        return change_models.Audit(audit=[change_models.AuditRow(**{**row, "at": rfc3339(row["at"])}) for row in rows])


def _exclusion(item: Exclusion) -> change_models.ExclusionOut:
    times: dict[str, Any] = {
        name: None if value is None else rfc3339(value)
        for name, value in (
            ("from", item.start),
            ("to", item.end),
            ("created_at", item.created_at),
            ("withdrawn_at", item.withdrawn_at),
        )
    }
    plain = {name: value for name, value in asdict(item).items() if name in ("id", "objective", "pool", "who", "why")}
    return change_models.ExclusionOut(**plain, **times, origin=item.origin)

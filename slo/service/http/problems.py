"""Errors as RFC 9457 problems: what, where, and what to do."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from plimsoll.slo.ledger.database import reason

PROBLEM_JSON = "application/problem+json"
Documented = dict[int | str, dict[str, Any]]


class Problem(BaseModel):
    """An error as RFC 9457 describes it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str


def _documented(*statuses: int) -> Documented:
    content = {PROBLEM_JSON: {"schema": Problem.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


# What the API's document says of errors: of routes that read, and of those that write.
READING: Documented = {
    **_documented(401, 403, 404, 422, 429, 503),
    304: {"description": "Not modified since the answer with this ETag (If-None-Match)"},
}
WRITING = _documented(400, 401, 403, 404, 409, 422, 429, 503)


def problem(path: str, status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Answer with a problem document."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, instance=path)
    return JSONResponse(body.model_dump(), status, headers, media_type=PROBLEM_JSON)


def install(app: FastAPI) -> None:
    """Turn every error of the application into a problem document."""

    @app.exception_handler(HTTPException)
    def rejected(request: Request, error: HTTPException) -> JSONResponse:
        return problem(request.url.path, error.status_code, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return problem(request.url.path, 422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    @app.exception_handler(SQLAlchemyError)
    def database(request: Request, error: SQLAlchemyError) -> JSONResponse:
        return problem(request.url.path, 503, f"the ledger's database refuses: {reason(error)}", {"Retry-After": "10"})

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> JSONResponse:
        return problem(
            request.url.path, 500, f"a fault of Plimsoll ({type(error).__name__}); the service's log has more"
        )

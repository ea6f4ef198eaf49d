"""Errors as RFC 9457 problems: a stable code, and a sentence with the fix."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from plimsoll.slo.ledger.database import reason

PROBLEM_JSON = "application/problem+json"
Documented = dict[int | str, dict[str, Any]]
# The code of a status, where an error has no more precise one.
CODES = {
    400: "malformed_request",
    401: "authentication_required",
    403: "insufficient_scope",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "body_too_large",
    421: "unknown_host",
    422: "invalid_request",
    429: "rate_limit_exceeded",
    500: "internal_error",
    503: "unavailable",
}
# What the API's document calls the problems, by status.
DESCRIPTIONS = {
    400: ("MalformedRequest", "Malformed request"),
    401: ("AuthenticationRequired", "Authentication required"),
    403: ("InsufficientScope", "Insufficient scope"),
    404: ("NotFound", "Not found"),
    409: ("Conflict", "Conflict with the current state"),
    413: ("BodyTooLarge", "Body too large"),
    421: ("UnknownHost", "The `Host` header is not a name of this service"),
    422: ("InvalidRequest", "Invalid request"),
    429: ("RateLimitExceeded", "Rate limit exceeded"),
    503: ("Unavailable", "Ledger unavailable"),
}


class Problem(BaseModel):
    """An error (RFC 9457). Clients match on `code`; `detail` is for people."""

    type: str = "about:blank"
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    code: str = Field(description="Stable, machine-readable code.", examples=["unknown_slo"])
    detail: str = Field(examples=["Unknown SLO 'chat'. Use one of: chat-ttft, chat-goodput."])
    instance: str = Field(description="Path of the request.", examples=["/api/v1/slos/chat"])


class ApiError(HTTPException):
    """An error of a route, with the code that its problem document carries."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(status, detail)
        self.code = code


def _documented(*statuses: int) -> Documented:
    return {status: {"$ref": f"#/components/responses/{DESCRIPTIONS[status][0]}"} for status in statuses}


# Problems that the API's document lists: for routes that read, and for those that write.
READING: Documented = {
    **_documented(401, 403, 404, 413, 421, 422, 429, 503),
    304: {"description": "Not modified: `If-None-Match` has the current ETag"},
}
WRITING = _documented(400, 401, 403, 404, 409, 413, 421, 422, 429, 503)


def components() -> dict[str, Any]:
    """Return the OpenAPI components that READING and WRITING refer to."""
    content = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {name: {"description": text, "content": content} for name, text in DESCRIPTIONS.values()}


def problem(path: str, status: int, detail: str, code: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the response of a problem document."""
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=code or CODES.get(status, "error"),
        detail=detail,
        instance=path,
    )
    return JSONResponse(body.model_dump(), status, headers, media_type=PROBLEM_JSON)


def install(app: FastAPI, show: Callable[[Request, JSONResponse], Response]) -> None:
    """Turn every error of the application into a problem document, which `show` may turn into a page."""

    @app.exception_handler(HTTPException)
    def rejected(request: Request, error: HTTPException) -> Response:
        code, headers = error.code if isinstance(error, ApiError) else "", dict(error.headers or {})
        return show(request, problem(request.url.path, error.status_code, str(error.detail), code, headers))

    @app.exception_handler(RequestValidationError)
    def malformed(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return show(request, problem(request.url.path, 422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"))

    @app.exception_handler(SQLAlchemyError)
    def database(request: Request, error: SQLAlchemyError) -> Response:
        detail = f"Ledger database unavailable: {reason(error)}."
        found = problem(request.url.path, 503, detail, "ledger_unavailable", {"Retry-After": "10"})
        return show(request, found)

    @app.exception_handler(Exception)
    def internal(request: Request, error: Exception) -> Response:
        detail = f"Internal error ({type(error).__name__}). See the service log."
        return show(request, problem(request.url.path, 500, detail))

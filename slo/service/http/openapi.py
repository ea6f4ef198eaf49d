"""The API's OpenAPI document: tags, the bearer scheme, and problems by reference."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from plimsoll.slo.service.http.problems import Problem, components

TITLE = "Plimsoll SLO API"
DESCRIPTION = """SLOs, error budgets, capacity recommendations, and weekly reviews for self-hosted LLM inference.

Times are RFC 3339 in UTC. Missing data is `null`, never 0. Errors are RFC 9457 problems with a stable `code`.
Responses to GET have an `ETag`. Lists have `next`, the path of the next page."""
TAGS = [
    {"name": "SLOs", "description": "SLOs, their error budgets, burn rates, and counted requests."},
    {"name": "Pools", "description": "Pools of identical nodes, and their traffic per slot."},
    {"name": "Capacity", "description": "Node recommendations, forecasts, cost, and simulation."},
    {"name": "Exclusions", "description": "Time ranges that don't count, such as maintenance."},
    {"name": "Corrections", "description": "Manual corrections of counted requests."},
    {"name": "Audit", "description": "Who changed what manually, when, and why."},
    {"name": "Reviews", "description": "Weekly reviews of SLOs and capacity."},
]
BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "Token from `plimsoll token`. Writing needs the write scope. Without a token file, the service requires no token.",
}


def install(app: FastAPI) -> None:
    """Let the application serve this document as /openapi.json."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=TITLE, version=app.version, description=DESCRIPTION, routes=app.routes, tags=TAGS)
            parts = found.setdefault("components", {})
            schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            parts.setdefault("schemas", {})["Problem"] = schema
            parts["responses"] = components()
            parts["securitySchemes"] = {"bearer": BEARER}
            found["security"] = [{}, {"bearer": []}]
            for operations in found["paths"].values():
                for operation in operations.values():
                    _refer(operation["responses"])
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _refer(responses: dict[str, Any]) -> None:
    """Leave only the reference of a response that has one: FastAPI adds a description beside it."""
    for status, response in responses.items():
        if "$ref" in response:
            responses[status] = {"$ref": response["$ref"]}

"""The page of the API reference, rendered from the OpenAPI document."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates


def add(pages: APIRouter, templates: Jinja2Templates) -> None:
    """Add the page."""

    @pages.get("/docs")
    def api_page(request: Request) -> HTMLResponse:
        document = request.app.openapi()
        context = {"info": document["info"], "tags": _by_tag(document), "problems": document["components"]["responses"]}
        return templates.TemplateResponse(request, "api.html", context)


def _by_tag(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the tags, each with its operations."""
    operations: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found = {**operation, "path": path, "method": method.upper()}
            found["request"] = _schema(operation.get("requestBody", {}))
            found["response"] = next((_schema(one) for code, one in operation["responses"].items() if code < "300"), "")
            operations[operation["tags"][0]].append(found)
    return [{**tag, "operations": operations[tag["name"]]} for tag in document["tags"]]


def _schema(body: dict[str, Any]) -> str:
    """Return the name of the schema of a request or response body, or its content type."""
    for content_type, content in body.get("content", {}).items():
        reference = content.get("schema", {}).get("$ref", "")
        return str(reference.rpartition("/")[2] or content_type)
    return ""

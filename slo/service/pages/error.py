"""The page of an error, for a browser that asked for a page."""

import json

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from plimsoll.slo.service.pages.templates import page_templates


def as_page(request: Request, problem: JSONResponse) -> Response:
    """Return a problem document as a page where a browser asked for one; the document itself to all other clients."""
    page = request.method == "GET" and not request.url.path.startswith("/api/")
    if not page or "text/html" not in request.headers.get("accept", ""):
        return problem
    headers = {name: value for name, value in problem.headers.items() if name not in ("content-type", "content-length")}
    body = json.loads(bytes(problem.body))
    return page_templates().TemplateResponse(request, "error.html", body, problem.status_code, headers)

"""Reference page of the HTTP API, from its OpenAPI document."""

from collections.abc import Mapping
from typing import Any

from plimsoll.compose.reference.markdown import page, table


def api_page(document: Mapping[str, Any]) -> str:
    """Return every operation by tag, with its parameters."""
    tags: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            tags.setdefault(operation.get("tags", ["Other"])[0], []).append(_operation(path, method, operation))
    about = {tag["name"]: tag.get("description", "") for tag in document.get("tags", ())}
    sections = [f"## {tag}\n\n{about.get(tag, '')}\n\n" + "\n\n".join(texts) for tag, texts in tags.items()]
    intro = (
        "The service serves the machine-readable form at `/openapi.json`. Errors are problem documents (RFC 9457). "
        "Beyond loopback send `Authorization: Bearer TOKEN`."
    )
    return page("HTTP API", intro, *sections)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    head = f"### {operation.get('summary', operation['operationId'])}\n\n`{method.upper()} {path}` ({operation['operationId']})"
    parameters = [
        (f"`{one['name']}`", one["in"], "yes" if one.get("required") else "", one.get("description", ""))
        for one in operation.get("parameters", ())
    ]
    return head + ("\n\n" + table(("Parameter", "In", "Required", "Description"), parameters) if parameters else "")

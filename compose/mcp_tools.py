"""The service's API as tools of the Model Context Protocol, made from its own OpenAPI document: one tool an operation."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
from mcp import types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server

INSTRUCTIONS = (
    "Plimsoll: SLOs, error budgets, and capacity of self-hosted LLM inference. null is unknown, never 0. Quote numbers "
    "as they are, with their data coverage. Start with list_slos; get_attribution has the causes of bad requests, "
    "get_recommendation the nodes that a pool needs, with reasons."
)
METHODS = ("get", "post")


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the API: its tool, and where its arguments belong. Those that are no parameter are the body's."""

    tool: types.Tool
    method: str
    path: str
    places: Mapping[str, str]


def operations(document: Mapping[str, Any], writes: bool) -> dict[str, Operation]:
    """Return the operations that answer with JSON, by operationId; those that change something only with `writes`."""
    found = {}
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            if method in METHODS and (method == "get" or writes) and _answers_json(one):
                found[one["operationId"]] = _operation(document, method, path, one)
    return found


def _answers_json(operation: Mapping[str, Any]) -> bool:
    return any(
        "application/json" in response.get("content", {})
        for status, response in operation["responses"].items()
        if status.startswith("2")
    )


def _operation(document: Mapping[str, Any], method: str, path: str, one: Mapping[str, Any]) -> Operation:
    parameters = [each for each in one.get("parameters", ()) if each["in"] in ("path", "query")]
    properties = {
        each["name"]: {**each["schema"], "description": each.get("description", each["schema"].get("title", ""))}
        for each in parameters
    }
    required = [each["name"] for each in parameters if each.get("required")]
    body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body:
        schema = _resolved(document, body)
        properties |= schema.get("properties", {})
        required += schema.get("required", [])
    tool = types.Tool(
        name=one["operationId"],
        title=one["summary"],
        description="\n".join(text for text in (one["summary"] + ".", one.get("description", "")) if text),
        input_schema=_resolved(
            document, {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
        ),
        annotations=types.ToolAnnotations(
            read_only_hint=method == "get", destructive_hint=False, open_world_hint=False
        ),
    )
    return Operation(tool, method, path, {each["name"]: each["in"] for each in parameters})


def _resolved(document: Mapping[str, Any], schema: Any) -> Any:
    """Return a schema with its references replaced by what they refer to, as a tool has no other place for that."""
    if isinstance(schema, list):
        return [_resolved(document, one) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return _resolved(document, found)
    return {name: _resolved(document, value) for name, value in schema.items()}


def request(operation: Operation, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return what httpx needs to send a call's request."""
    path = operation.path
    for name, value in _at(operation, arguments, "path"):
        path = path.replace(f"{{{name}}}", quote(str(value), safe=""))
    body = {name: value for name, value in arguments.items() if name not in operation.places}
    wanted: dict[str, Any] = {"method": operation.method.upper(), "url": path}
    wanted["params"] = {name: value for name, value in _at(operation, arguments, "query") if value is not None}
    return wanted | ({"json": body} if operation.method == "post" else {})


def _at(operation: Operation, arguments: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in arguments.items() if operation.places.get(name) == place)


def server(client: httpx.AsyncClient, found: Mapping[str, Operation], version: str) -> Server[Any]:
    """Return the MCP server of these operations. A problem of the API is a tool's error, with its code and detail."""

    async def list_tools(
        _: ServerRequestContext[Any], __: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[one.tool for one in found.values()])

    async def call_tool(_: ServerRequestContext[Any], asked: types.CallToolRequestParams) -> types.CallToolResult:
        operation = found.get(asked.name)
        if operation is None:
            return _result(f"Unknown tool {asked.name}.", error=True)
        try:
            response = await client.request(**request(operation, asked.arguments or {}))
        except httpx.HTTPError as error:
            return _result(f"The SLO service isn't reachable: {type(error).__name__}: {error}", error=True)
        if response.is_success:
            return _result(response.text, structured=response.json())
        return _result(f"{response.status_code}: {response.text}", error=True)

    return Server(
        "plimsoll", version=version, instructions=INSTRUCTIONS, on_list_tools=list_tools, on_call_tool=call_tool
    )


def _result(text: str, *, structured: Any = None, error: bool = False) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
    json_object = structured if isinstance(structured, dict) else None
    return types.CallToolResult(content=content, structured_content=json_object, is_error=error)


def parse(text: str) -> dict[str, Any]:
    """Return an OpenAPI document; raises ValueError for anything else."""
    document = json.loads(text)
    if not isinstance(document, dict) or "paths" not in document:
        raise ValueError("no OpenAPI document")
    return document

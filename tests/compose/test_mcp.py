"""`plimsoll mcp` as a process, driven by the protocol's official client, over a running service."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, StdioServerParameters, types

from browser import served
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from process import PLIMSOLL, environment, rejected
from service_world import NOW, world
from stack import free_port
from world import spec

READS = {"list_slos", "get_budget", "get_attribution", "get_recommendation", "get_review", "list_exclusions"}
WRITES = {"create_exclusion", "cancel_exclusion", "create_correction"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service with an hour of requests."""
    ledger = Ledger(open_database(f"sqlite:///{tmp_path_factory.mktemp('mcp')}/ledger.db"))
    service = Service(spec(), world(), ledger, clock=lambda: NOW)
    service.ingest()
    with served(service) as found:
        yield found
    ledger.engine.dispose()


def talk(url: str, *calls: tuple[str, dict[str, Any]], options: tuple[str, ...] = ()) -> tuple[Any, list[Any]]:
    """Return the tools by name, and the result of each call."""

    async def session() -> tuple[Any, list[Any]]:
        command = StdioServerParameters(
            command=PLIMSOLL[0], args=[*PLIMSOLL[1:], "mcp", "--service-url", url, *options], env=environment()
        )
        async with Client(command) as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            return tools, [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(session())


def text(result: types.CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, types.TextContent)
    return block.text


def test_an_assistant_reads_the_numbers_that_the_api_has(url: str) -> None:
    asked = {"list_slos": ({}, "slos"), "get_budget": ({"slo_id": "fast"}, "slos/fast/budget")}
    asked["get_recommendation"] = ({"pool": "pool"}, "pools/pool/recommendation")
    asked["get_attribution"] = ({"slo_id": "fast", "from": "2023-11-14T22:00:00Z"}, "")
    tools, found = talk(url, *((name, arguments) for name, (arguments, _) in asked.items()))
    assert tools.keys() >= READS and not tools.keys() & WRITES
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools.values())
    assert tools["get_budget"].input_schema["required"] == ["slo_id"]
    for (_, path), result in zip(asked.values(), found, strict=True):
        assert not result.is_error and result.structured_content == json.loads(text(result))
        if path:
            assert result.structured_content == httpx.get(f"{url}/api/v1/{path}", trust_env=False).json()


def test_a_problem_is_an_error_with_its_code_and_nothing_is_written_unless_asked_for(url: str) -> None:
    calls = [("get_budget", {"slo_id": "../pools"}), ("create_exclusion", {"reason": "x"}), ("nothing", {})]
    _, found = talk(url, *calls)
    assert [result.is_error for result in found] == [True, True, True]
    assert "unknown_slo" in text(found[0]) or "not_found" in text(found[0])


def test_with_write_an_exclusion_is_made(url: str) -> None:
    body = {"created_by": "ann", "reason": "load test", "from": "2023-11-14T22:55:00Z", "to": "2023-11-14T22:57:00Z"}
    tools, (made, listed) = talk(url, ("create_exclusion", body), ("list_exclusions", {}), options=("--write",))
    assert tools.keys() >= WRITES and not tools["create_exclusion"].annotations.read_only_hint
    assert {"reason", "from", "to"} <= set(tools["create_exclusion"].input_schema["required"])
    assert not made.is_error, text(made)
    assert made.structured_content["id"] in [one["id"] for one in listed.structured_content["exclusions"]]


def test_a_service_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    assert f"--service-url: {url}/openapi.json" in rejected(["mcp", "--service-url", url], environment(), tmp_path)

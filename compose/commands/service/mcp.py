"""Serve the SLO service's API to an assistant, by the Model Context Protocol on stdin and stdout. Read-only by default."""

import argparse
import os
from importlib.metadata import version

import anyio
import httpx
from mcp.server.stdio import stdio_server

from plimsoll.compose.inputs import UserError
from plimsoll.compose.listen import SERVICE_TOKEN, read_token
from plimsoll.compose.live.service_client import TIMEOUT_SECONDS, add_service
from plimsoll.compose.mcp_tools import operations, parse, server

EXTRA = "mcp"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_service(parser)
    parser.add_argument(
        "--write", action="store_true", help="also offer what changes something: exclusions and corrections"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until stdin ends; raises UserError where the service's API can't be read."""
    token = read_token(os.environ, SERVICE_TOKEN)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    anyio.run(_serve, args.service_url.rstrip("/"), headers, args.write)
    return 0


async def _serve(url: str, headers: dict[str, str], writes: bool) -> None:
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        try:
            response = await client.get("/openapi.json")
            found = operations(parse(response.raise_for_status().text), writes)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise UserError(
                f"--service-url: {url}/openapi.json can't be read: {error}. Check that `plimsoll serve` is running."
            ) from error
        serving = server(client, found, version("plimsoll-slo"))
        async with stdio_server() as (read, write):
            await serving.run(read, write, serving.create_initialization_options())

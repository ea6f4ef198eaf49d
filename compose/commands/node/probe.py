"""Send one test request to an OpenAI-compatible server."""

import argparse
import os

import msgspec

from plimsoll.compose.inputs import UserError
from plimsoll.compose.listen import PROBE_TOKEN, read_token
from plimsoll.exporters.engines.fetch import address_of
from plimsoll.exporters.probe import MAX_TOKENS, ProbeRequest, Result, probe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("url", metavar="URL", help="Root of the server, such as http://127.0.0.1:8000.")
    parser.add_argument("--model", required=True, metavar="NAME", help="Model to request.")
    parser.add_argument(
        "--max-tokens",
        type=int,
        default=16,
        metavar="N",
        help=f"Tokens to request, 2 to {MAX_TOKENS} (default: %(default)s).",
    )
    parser.add_argument(
        "--timeout", type=float, default=20.0, metavar="SECONDS", help="Time limit (default: %(default)s)."
    )
    parser.add_argument("--json", action="store_true", help="Print JSON.")


def run(args: argparse.Namespace) -> int:
    """Send one probe; return 0 if the response was complete, else 1. Raises UserError."""
    try:
        url, _ = address_of(args.url, "URL")
        request = ProbeRequest(url, args.model, read_token(os.environ, PROBE_TOKEN), args.max_tokens, args.timeout)
    except ValueError as error:
        raise UserError(str(error)) from error
    result = probe(request)
    print(msgspec.json.encode(result).decode() if args.json else "\n".join(_lines(request, result)))
    return 0 if result.outcome == "ok" else 1


def _lines(request: ProbeRequest, result: Result) -> list[str]:
    times = {
        "first token": result.time_to_first_token,
        "longest gap": result.longest_gap,
        "per token after the first": result.time_per_output_token,
        "complete response": result.duration,
    }
    verdict = f"{result.outcome}: {result.problem}" if result.problem else f"ok: {result.tokens} tokens"
    return [
        f"{request.endpoint} {verdict}",
        *(f"{n:>26}  {v * 1000:9.1f} ms" for n, v in times.items() if v is not None),
    ]

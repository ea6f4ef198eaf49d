"""Test the alerting chain: send one page through Alertmanager, and show what came back."""

import argparse
import re
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from plimsoll.compose.inputs import UserError

NAME = "PlimsollTestPage"
ENDS_AFTER = 60.0  # seconds
POLL = 0.5  # seconds
COUNTS = re.compile(
    r'^alertmanager_notifications(_failed)?_total\{.*?integration="([^"]+)"[^}]*\} (\S+)$', re.MULTILINE
)
Counts = tuple[Counter[str], Counter[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=("test",), help="`test`: send one page and show what came back")
    parser.add_argument(
        "--alertmanager", required=True, metavar="URL", help="Alertmanager, such as http://127.0.0.1:9093."
    )
    parser.add_argument(
        "--pool", default="", metavar="NAME", help="Pool of the page, to test the receiver of its owner."
    )
    parser.add_argument(
        "--severity", choices=("page", "ticket"), default="page", help="Send a page or a ticket (default: %(default)s)."
    )
    parser.add_argument(
        "--timeout", type=float, default=120.0, metavar="SECONDS", help="Time limit (default: %(default)s)."
    )


def run(args: argparse.Namespace) -> int:
    """Send the alert and wait for its notifications; return 1 if none was sent or one failed. Raises UserError."""
    try:
        with httpx.Client(base_url=args.alertmanager, timeout=10) as client:
            return _test(client, args)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UserError(
            f"--alertmanager {args.alertmanager}: {error}. Check the URL, and that Alertmanager runs."
        ) from error


def _test(client: httpx.Client, args: argparse.Namespace) -> int:
    before = _counts(client)
    labels = {"alertname": NAME, "severity": args.severity, "source": "plimsoll"}
    labels |= {"pool": args.pool} if args.pool else {}
    client.post("/api/v2/alerts", json=[_alert(labels)]).raise_for_status()
    end = time.monotonic() + args.timeout
    sent, failed = Counter[str](), Counter[str]()
    while not sent and time.monotonic() < end:
        time.sleep(POLL)
        after = _counts(client)
        sent, failed = after[0] - before[0], after[1] - before[1]
    found = client.get("/api/v2/alerts", params={"filter": f'alertname="{NAME}"'}).raise_for_status().json()
    receivers = sorted({receiver["name"] for one in found for receiver in one["receivers"]})
    muted = any(one["status"]["silencedBy"] or one["status"]["inhibitedBy"] for one in found)
    print(f"receiver: {', '.join(receivers) or 'none'}{' (silenced or inhibited)' if muted else ''}")
    for integration, count in sorted(sent.items()):
        print(f"{integration}: {count} sent, {failed[integration]} failed")
    if not sent:
        print(f"no notification in {args.timeout:g} s: the receiver has no integration, or waits longer (group_wait)")
    return 1 if failed or not sent else 0


def _alert(labels: dict[str, str]) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "labels": labels,
        "annotations": {
            "summary": "Test: the alerting chain works.",
            "description": f"Sent by `plimsoll alert test` at {now:%Y-%m-%d %H:%M} UTC. It ends after a minute. No action is needed.",
        },
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(seconds=ENDS_AFTER)).isoformat(),
    }


def _counts(client: httpx.Client) -> Counts:
    """Return notifications tried and failed since Alertmanager's start, by integration."""
    tried, failed = Counter[str](), Counter[str]()
    for bad, integration, value in COUNTS.findall(client.get("/metrics").raise_for_status().text):
        (failed if bad else tried)[integration] += int(float(value))
    return tried, failed

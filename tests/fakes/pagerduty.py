"""A PagerDuty that checks and keeps what it is sent: its Events API v2 on a free loopback port."""

import contextlib
import json
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


def _event_errors(event: Any) -> list[str]:
    """Return the problems of an event by PagerDuty's Events API v2 (limits from its reference pages)."""
    if not isinstance(event, dict):
        return ["event is not an object"]
    payload = event.get("payload") or {}
    action, key, severity = event.get("event_action"), event.get("dedup_key"), payload.get("severity")
    routing_key, summary, source = (
        str(text or "") for text in (event.get("routing_key"), payload.get("summary"), payload.get("source"))
    )
    keyed = isinstance(key, str) and 0 < len(key) <= 255
    checks = {
        "'routing_key' must be 32 characters": len(routing_key) == 32,
        "'event_action' must be trigger, acknowledge or resolve": action in ("trigger", "acknowledge", "resolve"),
        "'dedup_key' is missing or longer than 255 characters": keyed or (action == "trigger" and key is None),
    }
    if action == "trigger":
        checks |= {
            "'payload.summary' is missing, blank or longer than 1024 characters": summary.strip() != ""
            and len(summary) <= 1024,
            "'payload.source' is missing or blank": source.strip() != "",
            "'payload.severity' is unknown": severity in ("critical", "error", "warning", "info"),
            "'links' must each have an href": all(link.get("href") for link in event.get("links") or []),
        }
    return [text for text, good in checks.items() if not good]


def _change_errors(event: Any) -> list[str]:
    """Return the problems of a change event by PagerDuty's Events API v2 (limits from its reference page)."""
    if not isinstance(event, dict):
        return ["event is not an object"]
    payload = event.get("payload") or {}
    summary, timestamp = str(payload.get("summary") or ""), payload.get("timestamp")
    checks = {
        "'routing_key' must be 32 characters": len(str(event.get("routing_key") or "")) == 32,
        "unknown keys": set(event) <= {"routing_key", "payload", "links", "images"},
        "unknown keys of 'payload'": set(payload) <= {"summary", "source", "timestamp", "custom_details"},
        "'payload.summary' is missing, blank or longer than 1024 characters": summary.strip() != ""
        and len(summary) <= 1024,
        "'payload.timestamp' is not ISO 8601": timestamp is None or _is_time(timestamp),
        "'payload.custom_details' is not an object": isinstance(payload.get("custom_details", {}), dict),
        "'links' must each have an href": all(link.get("href") for link in event.get("links") or []),
    }
    return [text for text, good in checks.items() if not good]


def _is_time(text: Any) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except (TypeError, ValueError):
        return False


class PagerDuty:
    """A local server that plays PagerDuty's Events API v2 and keeps `events` (accepted, `arrivals` in Unix seconds), `changes` (change
    events, accepted) and `rejected` (event, errors). With `status` it answers that to every change event."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.changes: list[dict[str, Any]] = []
        self.status: int | None = None
        self.arrivals: list[float] = []
        self.rejected: list[tuple[Any, list[str]]] = []
        pagerduty = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, answer = {
                    "/v2/enqueue": pagerduty._accept,
                    "/v2/change/enqueue": pagerduty._accept_change,
                }.get(self.path, lambda _: (404, {}))(body)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent: tests read `events`."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v2/enqueue"
        self.change_url = self.url.replace("/v2/enqueue", "/v2/change/enqueue")
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def _accept(self, body: bytes) -> tuple[int, dict[str, Any]]:
        event: Any = None
        with contextlib.suppress(ValueError):
            event = json.loads(body)
        errors = _event_errors(event)
        if errors:
            self.rejected.append((event, errors))
            return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        self.arrivals.append(time.time())
        self.events.append(event)
        return 202, {"status": "success", "message": "Event processed", "dedup_key": event.get("dedup_key")}

    def _accept_change(self, body: bytes) -> tuple[int, dict[str, Any]]:
        if self.status is not None:
            return self.status, {}
        event: Any = None
        with contextlib.suppress(ValueError):
            event = json.loads(body)
        if errors := _change_errors(event):
            self.rejected.append((event, errors))
            return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        self.changes.append(event)
        return 202, {"status": "success", "message": "Change event processed"}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

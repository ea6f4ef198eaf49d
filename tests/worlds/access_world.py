"""A client of the service, from an address and with what lets it in."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import new_token

HTML = {"Accept": "text/html,application/xhtml+xml"}
TEXT, READER = new_token("ann", "read")


def client_of(service: Service, access: Access | None = None, url: str = "http://localhost", **more: Any) -> TestClient:
    """Return a client at `address` that follows no redirect; `more` goes to the application."""
    address = more.pop("address", "192.0.2.7")
    app = create_app(service, access, runbooks="# Runbooks\n\nLook at the queue.", **more)
    return TestClient(app, base_url=url, client=(address, 5000), follow_redirects=False)


def log_in(client: TestClient, text: str, target: str = "/", **headers: str) -> Any:
    """Return the answer to a token that is entered on the login page."""
    return client.post("/login", data={"token": text, "next": target}, headers=headers)


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return what the access log has."""
    return [json.loads(record.message) for record in caplog.records if record.name == "plimsoll.access"]

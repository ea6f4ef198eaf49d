"""A client that openapi-python-client generates from the API's document drives a running service."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from browser import served
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from service_world import NOW, world
from world import spec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    ledger = Ledger(open_database(f"sqlite:///{tmp_path_factory.mktemp('client')}/ledger.db"))
    service = Service(spec(), world(), ledger, clock=lambda: NOW)
    service.ingest()
    yield service
    ledger.engine.dispose()


@pytest.fixture(scope="module")
def generated(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The generated package's folder, on the import path."""
    folder = tmp_path_factory.mktemp("generated")
    document = folder / "openapi.json"
    document.write_text(json.dumps(TestClient(create_app(service)).get("/openapi.json").json()))
    tools = Path(sys.executable).parent  # the generator formats with ruff
    command: list[str | Path] = [tools / "openapi-python-client", "generate", "--meta", "none"]
    run = subprocess.run(
        [*command, "--fail-on-warning", "--path", document, "--output-path", folder / "slo_api_client"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"},
    )
    assert (run.returncode, "warning" in (run.stdout + run.stderr).lower()) == (0, False), run.stdout + run.stderr
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def operation(tag: str, name: str) -> Any:
    return importlib.import_module(f"slo_api_client.api.{tag}.{name}")


@pytest.fixture
def api(generated: Path, service: Service) -> Iterator[SimpleNamespace]:
    """The generated client, connected to the running service, and the generated models."""
    with served(service) as url, importlib.import_module("slo_api_client").Client(base_url=url) as client:
        yield SimpleNamespace(client=client, models=importlib.import_module("slo_api_client.models"))


def test_every_operation_has_a_function_named_by_its_operation_id(service: Service, generated: Path) -> None:
    document = TestClient(create_app(service)).get("/openapi.json").json()
    ids = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    names = set(ids)
    assert len(names) == len(ids) > 0
    assert {file.stem for file in (generated / "slo_api_client" / "api").glob("*/[a-z]*.py")} == names
    for methods in document["paths"].values():
        for one in methods.values():
            assert one["summary"] and one["description"] and len(one["tags"]) == 1, one["operationId"]
            assert all(parameter.get("description") for parameter in one.get("parameters", [])), one["operationId"]


def test_the_generated_client_reads_slos_budgets_recommendations_and_reviews(api: SimpleNamespace) -> None:
    (slo,) = operation("sl_os", "list_slos").sync(client=api.client).slos
    assert (slo.id, slo.good, slo.total) == ("fast", 960, 1000)
    budget = operation("sl_os", "get_budget").sync("fast", client=api.client)
    assert (budget.bad, budget.points[-1].budget_remaining) == (40, budget.budget_remaining)
    recommendation = operation("capacity", "get_recommendation").sync("pool", client=api.client)
    assert recommendation.action == "insufficient_data"
    review = operation("reviews", "get_review").sync("2023-W46", client=api.client)
    assert (review.slos[0].good, review.slos[0].total, review.complete) == (960, 1000, False)


def test_the_generated_client_creates_and_cancels_an_exclusion_and_reads_problems(api: SimpleNamespace) -> None:
    start = datetime.fromisoformat("2023-11-14T22:55:00Z")
    body = api.models.ExclusionRequest(
        created_by="ann", reason="load test", from_=start, to=start + timedelta(minutes=2)
    )
    created = operation("exclusions", "create_exclusion").sync(client=api.client, body=body)
    assert (created.origin, created.canceled_at) == ("api", None)
    assert operation("sl_os", "get_slo").sync("fast", client=api.client).excluded_seconds == 300
    cancel = operation("exclusions", "cancel_exclusion")
    reason = api.models.CancelExclusionRequest(actor="ann", reason="not needed")
    assert cancel.sync(created.id, client=api.client, body=reason).canceled_at is not None
    again = cancel.sync_detailed(created.id, client=api.client, body=reason)
    assert (again.status_code, again.parsed.code) == (409, "already_canceled")
    unknown = operation("sl_os", "get_slo").sync("nope", client=api.client)
    assert (unknown.status, unknown.code) == (404, "unknown_slo")

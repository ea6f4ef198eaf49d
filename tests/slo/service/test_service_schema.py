"""Schemathesis reads the OpenAPI document and asks everything that it allows, and much that it does not."""

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from plimsoll.slo.hosts import Hosts
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.spec.objectives import load
from service_world import NOW, world
from world import SPEC_TEXT

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]


@pytest.mark.slow
def test_no_server_error_and_no_undocumented_answer(database: str, open_ledger: Callable[[str], Ledger]) -> None:
    by_tenant = load(SPEC_TEXT.replace("window: 28d}", "window: 28d, group_by: tenant}"))
    service = Service(by_tenant, world(), open_ledger(database), clock=lambda: NOW)
    service.ingest()
    known = Access(hosts=Hosts(["testserver"]))
    app = create_app(service, known, limits={"reads": "100000/second", "writes": "100000/second"})
    asked = set()
    for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()

        @settings(max_examples=30, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy() | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        def ask(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=CHECKS)

        ask()
        asked.add((operation.method, operation.path))
    documented = {
        (method, path) for path, item in app.openapi()["paths"].items() for method in item if method != "parameters"
    }
    assert asked == documented and ("post", "/api/v1/exclusions/{id}/cancel") in asked

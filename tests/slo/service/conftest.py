"""What the tests of pages share."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from browser import chromium, served
from pages_world import two_days
from plimsoll.slo.service.state import Service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium for the tests of one module."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service over two days of a pool, for the tests of one module."""
    service = two_days(tmp_path_factory.mktemp("pages"))
    yield service
    service.ledger.engine.dispose()


@pytest.fixture(scope="module")
def url(service: Service) -> Iterator[str]:
    """The address at which it serves its pages."""
    with served(service) as found:
        yield found

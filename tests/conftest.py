"""Fixtures that several test modules share."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partialmethod
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from starlette.testclient import TestClient

from archives import Built, build, make_clone
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from postgresql import PostgreSQL

# The service answers only to names that it knows: to localhost, not to Starlette's `testserver`.
TestClient.__init__ = partialmethod(TestClient.__init__, base_url="http://localhost")  # type: ignore[assignment]

# How long an example takes says how busy the machine is.
settings.register_profile("plimsoll", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("plimsoll")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that may take longest: workers take a module each (pytest-xdist), and none shall end long after the others."""
    patience: Counter[Path] = Counter()
    for item in items:
        marker = item.get_closest_marker("timeout")
        seconds = marker.args[0] if marker else 1 if item.get_closest_marker("slow") else 0
        patience[item.path] = max(patience[item.path], seconds)
    items.sort(key=lambda item: patience[item.path], reverse=True)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A private PostgreSQL, shared by all tests: each makes a database of its own. It need not survive a power cut."""
    with PostgreSQL("fsync=off") as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Gives the URL of a new, empty database of each kind that a ledger may stand on."""
    if request.param == "postgresql":
        running: PostgreSQL = request.getfixturevalue("postgresql")
        return running.database
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"


@pytest.fixture
def open_ledger() -> Iterator[Callable[[str], Ledger]]:
    """Opens ledgers by URL, and closes them at the end of the test."""
    opened = []

    def open_one(url: str) -> Ledger:
        opened.append(open_database(url))
        return Ledger(opened[-1])

    yield open_one
    for engine in opened:
        engine.dispose()


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    """The URL of one new, empty database."""
    return new_database()


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of the project's files, with others beside them that are not the project's."""
    folder = tmp_path_factory.mktemp("clone")
    make_clone(folder)
    return folder


@pytest.fixture(scope="session")
def built(clone: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """What is built from that clone."""
    return build(clone, tmp_path_factory.mktemp("built"))

"""Fixtures that several test modules share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archives import Built, build, make_clone
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from postgresql import PostgreSQL


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal the tests to workers (pytest-xdist): by group, and what is given the most time first, so that none ends long after the others."""
    for item in items:
        if group := _group(item):
            item.add_marker(pytest.mark.xdist_group(group))
    items.sort(key=_seconds, reverse=True)


def _group(item: pytest.Item) -> str | None:
    """Name of the tests that one worker runs one after the other: all with a real engine, and those that share a fixture of their module."""
    if item.get_closest_marker("engine"):
        return "engine"
    fixtures = item._fixtureinfo.name2fixturedefs.values() if isinstance(item, pytest.Function) else ()
    return item.path.stem if any(one.scope == "module" for found in fixtures for one in found) else None


def _seconds(item: pytest.Item) -> float:
    """Seconds that a test is given, if more than others."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


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

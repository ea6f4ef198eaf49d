"""Fixtures that several test modules share."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import real_engine
from archives import Built, build, make_clone
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from postgresql import PostgreSQL


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the real engine, and give its start (and, outside `make test`, its set-up) the time that they take."""
    for item in items:
        if "engine_installation" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.engine)
            item.add_marker(pytest.mark.timeout(1200))


# Bounds of vLLM's histograms, among them the default objectives' limits (600 ms, 40 ms, 4 s): so its page counts them exactly.
BUCKETS = {
    "time_to_first_token": [0.1, 0.25, 0.5, 0.6, 0.75, 1, 2.5, 5, 10, 20, 40],
    "inter_token_latency": [0.01, 0.025, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 1],
    "request_latency": [0.25, 0.5, 1, 2, 4, 5, 10, 20, 40],
}


@pytest.fixture(scope="session")
def engine_installation() -> real_engine.Installation:
    """The virtual environment of the real vLLM."""
    try:
        return real_engine.prepare()
    except real_engine.Unavailable as why:
        pytest.skip(f"no real engine: {why}")


@pytest.fixture(scope="session")
def engine(engine_installation: real_engine.Installation) -> Iterator[real_engine.Engine]:
    """A real vLLM with our plugin, shared by all tests: compare counters before and after."""
    with real_engine.start(arguments=("--custom-histogram-buckets", json.dumps(BUCKETS))) as running:
        yield running


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

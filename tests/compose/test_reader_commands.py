"""The commands that read a running service and act on it: what they print is what the API has, and an error is one line."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from browser import served
from plimsoll.compose.cli import main
from plimsoll.slo.calendar import rfc3339
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.manual_changes import announced_rollouts
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from process import rejected
from service_world import INCIDENT, NOW, world
from stack import free_port
from world import spec


@pytest.fixture
def service(tmp_path: Path) -> Service:
    found = Service(spec(), world(), Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db")), clock=lambda: NOW)
    found.ingest()
    return found


@pytest.fixture
def at(service: Service) -> Iterator[list[str]]:
    with served(service) as url:
        yield ["--service-url", url]


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        (["slos"], ["fast", "20.0%", "960 / 1,000"]),
        (["budget", "fast"], ["20.0% of the error budget remains", "good 960 of 1,000", "page-fast"]),
        (["causes", "fast"], ["40 bad requests", "CAUSE"]),
        (["pools"], ["pool", "insufficient_data"]),
        (["recommend", "pool"], ["insufficient_data", "- No data"]),
    ],
)
def test_a_reader_prints_text_for_people_and_json_for_scripts(
    at: list[str], capsys: pytest.CaptureFixture[str], command: list[str], texts: list[str]
) -> None:
    assert main([*command, *at]) == 0
    printed = capsys.readouterr().out
    assert all(text in printed for text in texts), printed
    assert main([*command, *at, "--json"]) == 0
    assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_an_exclusion_is_made_and_the_budget_is_whole_again(
    at: list[str], capsys: pytest.CaptureFixture[str], service: Service
) -> None:
    times = ["--from", INCIDENT["from"], "--to", INCIDENT["to"], "--reason", "load test", "--created-by", "ann"]
    assert main(["exclude", *times, "--slo", "fast", *at]) == 0
    (made,) = service.records.exclusions()
    assert made.id is not None and made.id in capsys.readouterr().out
    assert (made.objective, made.created_by) == ("fast", "ann")
    assert service.evaluated().budgets["fast"].budget_remaining == 1.0


def test_a_rollout_is_announced_until_its_end(
    at: list[str], capsys: pytest.CaptureFixture[str], service: Service
) -> None:
    options = ["--version", "0.32.0", "--reason", "fixes", "--actor", "ann", "--max-unavailable", "2"]
    assert main(["rollout", "pool", *options, "--to", rfc3339(service.clock() + 3600), *at]) == 0
    assert "announced pool 0.32.0 until " in capsys.readouterr().out
    (found,) = announced_rollouts(service.ledger.engine, service.clock()).values()
    assert (found.version, found.created_by, found.max_unavailable) == ("0.32.0", "ann", 2)
    assert "at most 12 h ahead" in rejected(
        ["rollout", "pool", *options, "--to", rfc3339(service.clock() + 13 * 3600), *at]
    )


def test_an_event_is_announced(at: list[str], capsys: pytest.CaptureFixture[str], service: Service) -> None:
    times = ["--from", rfc3339(NOW + 3600), "--to", rfc3339(NOW + 7200)]
    command = ["event", "launch", *times, "--factor", "2.5", "--reason", "new model", "--actor", "ann", *at]
    assert main(command) == 0
    (found,) = service.records.events()
    assert found.id is not None and found.id in capsys.readouterr().out
    assert (found.factor, found.start, found.pool) == (2.5, NOW + 3600, None)


def test_what_the_service_rejects_is_one_line(at: list[str]) -> None:
    assert "404" in rejected(["budget", "nothing", *at])
    assert "isn't reachable" in rejected(["slos", "--service-url", f"http://127.0.0.1:{free_port()}"])

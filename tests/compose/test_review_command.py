"""`plimsoll review`: a week's review from a running service as a file, its published schema, and one line for bad input."""

import csv
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import jsonschema_rs
import pytest
import uvicorn

from paths import ROOT
from plimsoll.slo.calendar import WEEK
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.access import Access
from plimsoll.slo.service.app import create_app
from plimsoll.slo.service.state import Service
from plimsoll.slo.service.tokens import token
from plimsoll.slo.sli.increments import SlotCount
from process import PLIMSOLL, environment, rejected
from review_world import NOW, START, priced, slot
from stack import free_port, wait_for
from world import World

SCHEMA = ROOT / "docs" / "review.schema.json"
ENVIRONMENT = {**environment(), "PLIMSOLL_TOKEN": "secret"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a service with a token and a week of an objective and a pool."""
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('review')}/ledger.db")
    ledger = Ledger(engine)
    counts = [SlotCount(int(START) + 300 * index, 90, 100, 300.0, "request") for index in range(10)]
    ledger.record({("fast", "hash"): counts}, int(START + WEEK), {"pool": [slot(START, 300), slot(START + 300, None)]})
    app = create_app(
        Service(priced(), World({}, {}), ledger, clock=lambda: NOW), Access([token("reader", "read", "secret")])
    )
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started, "the service to start")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)
    engine.dispose()


def review(*arguments: str) -> str:
    """Run the command; returns what it prints."""
    command = [*PLIMSOLL, "review", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=True).stdout


def test_a_review_is_written_as_json_that_keeps_the_published_schema(service: str, tmp_path: Path) -> None:
    file = tmp_path / "review.json"
    assert review("--week", "2023-W46", "--service-url", service, "--out", str(file)) == ""
    found = json.loads(file.read_text())
    assert (found["week"], found["slos"][0]["good"], found["pools"][0]["week"]["arrivals"]) == (
        "2023-W46",
        900,
        300,
    )
    schema = json.loads(SCHEMA.read_text())
    jsonschema_rs.validator_for(schema).validate(found)
    del found["pools"][0]["survives_node_loss"]
    with pytest.raises(jsonschema_rs.ValidationError, match="survives_node_loss"):
        jsonschema_rs.validator_for(schema).validate(found)


def test_the_published_schema_is_the_current_one() -> None:
    assert review("--schema") == SCHEMA.read_text(), "renew it: plimsoll review --schema > docs/review.schema.json"


def test_a_review_is_written_as_csv(service: str, tmp_path: Path) -> None:
    file = tmp_path / "review.csv"
    review("--week", "2023-W46", "--service-url", service, "--out", str(file))
    rows = list(csv.DictReader(file.read_text().splitlines()))
    (good,) = (row for row in rows if (row["name"], row["measure"]) == ("fast", "good"))
    assert (good["week"], good["value"]) == ("2023-W46", "900")
    (arrivals,) = (row for row in rows if (row["name"], row["measure"]) == ("pool", "arrivals"))
    assert arrivals["value"] == "300"


def test_a_review_is_printed_as_text_for_people_and_as_json_for_scripts(service: str) -> None:
    text = review("--week", "2023-W46", "--service-url", service)
    assert text.startswith("Weekly review 2023-W46\n") and f"{service}/reviews/2023-W46" in text
    assert "fast (pool): can't be judged" in text and "900" not in text.split("fast (pool)")[0]
    found = json.loads(review("--week", "2023-W46", "--service-url", service, "--json"))
    assert (found["week"], found["slos"][0]["good"]) == ("2023-W46", 900)


def test_a_month_is_printed_with_slos_combined(service: str, tmp_path: Path) -> None:
    head, columns, *rows = review("--period", "2023-11", "--service-url", service).splitlines()
    assert head.startswith("2023-11, ") and head.endswith("in progress: " + f"{service}/reviews/2023-11")
    assert columns.split()[:2] == ["KIND", "NAME"]
    assert [row.split()[0] for row in rows] == ["all", "pool", "slo"]
    assert all("90.0%" in row and "200.0%" in row and row.endswith("1,000") for row in rows)
    file = tmp_path / "month.csv"
    review("--period", "2023-11", "--service-url", service, "--out", str(file))
    assert "2023-11,combined,,total,1000," in file.read_text()


def test_bad_input_is_one_line(service: str, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "x.json")]

    def line(*arguments: str) -> str:
        return rejected(["review", *arguments], ENVIRONMENT)

    assert "Use a file name that ends with .json or .csv" in line("--week", "2023-W46", "--out", "x.pdf")
    assert "no review is saved yet" in line("--service-url", service)
    assert "returned 422: week: Invalid week: 99" in line("--week", "2023-W99", "--service-url", service, *out)
    assert "returned 422: period: '2023-13' isn't" in line("--period", "2023-13", "--service-url", service)
    assert "isn't reachable" in line("--week", "2023-W46", "--service-url", f"http://127.0.0.1:{free_port()}", *out)
    assert "isn't reachable" in line("--week", "2023-W46", "--service-url", "here", *out)
    nowhere = ["--out", str(tmp_path / "none" / "x.json")]
    assert "can't write: No such file" in line("--week", "2023-W46", "--service-url", service, *nowhere)
    wrong = {**ENVIRONMENT, "PLIMSOLL_TOKEN": "other"}
    assert "returned 401" in rejected(["review", "--week", "2023-W46", "--service-url", service, *out], wrong)
    assert not (tmp_path / "x.json").exists()

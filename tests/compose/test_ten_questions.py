"""Each question of docs/how-to/ten-questions.md is answered: its command has the field, and its page is within two clicks."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from browser import served
from paths import ROOT
from plimsoll.compose.cli import main
from plimsoll.compose.demo.history.load import store_history
from plimsoll.compose.inputs import DEMO_OBJECTIVES, read_objectives
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.reports.review_archive import save_due_reviews
from plimsoll.slo.service.state import Service
from world import World

ROW = re.compile(r"^\| (.+\?) \| `plimsoll (.+?)` \| `(.+?)` \| `(.+?)` \|$", re.M)
QUESTIONS = ROW.findall((ROOT / "docs/how-to/ten-questions.md").read_text(encoding="utf-8"))
CLICKS = 2


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo's simulated past, with the review of last week."""
    now, spec = time.time(), read_objectives(str(DEMO_OBJECTIVES))
    ledger = Ledger(open_database(f"sqlite:///{tmp_path_factory.mktemp('demo')}/ledger.db"))
    store_history(spec, ledger, now)
    service = Service(spec, World({}, {}), ledger, clock=lambda: now)
    save_due_reviews(service.records)
    with served(service) as found:
        yield found
    ledger.engine.dispose()


def at(value: Any, path: str) -> list[Any]:
    """The values at a path such as `slos[].status`; a list that is missing is an error."""
    found = [value]
    for part in path.split("."):
        name, is_list = part.removesuffix("[]"), part.endswith("[]")
        found = [one[name] for one in found]
        if is_list:
            found = [item for one in found for item in one]
    return found


def test_there_are_ten_questions_for_both_readers() -> None:
    assert len(QUESTIONS) == 10
    assert {command.split()[0] for _, command, _, _ in QUESTIONS} >= {
        "slos",
        "top",
        "budget",
        "causes",
        "recommend",
        "review",
    }


@pytest.mark.parametrize(("question", "command", "field", "_"), QUESTIONS)
def test_the_command_has_the_answer(
    url: str, capsys: pytest.CaptureFixture[str], question: str, command: str, field: str, _: str
) -> None:
    arguments = [*command.split(), "--service-url", url]
    assert main(arguments) == 0
    assert capsys.readouterr().out.strip(), question
    assert main([*arguments, "--json"]) == 0
    answers = at(json.loads(capsys.readouterr().out), field)
    assert any(one is not None for one in answers), question


def test_every_page_is_within_two_clicks(url: str) -> None:
    seen, edge = {"/"}, {"/"}
    with httpx.Client(base_url=url, trust_env=False, follow_redirects=True, timeout=60) as client:
        for _ in range(CLICKS):
            texts = [response.text for path in edge if (response := client.get(path)).is_success]
            links = {link for text in texts for link in re.findall(r'href="(/[^"#?]*)', text)}
            edge = {link for link in links if link.startswith(("/slos", "/pools", "/reviews"))} - seen
            seen |= edge
            if {page for *_, page in QUESTIONS} <= seen:
                break
        assert {page for *_, page in QUESTIONS} <= seen
        assert all(client.get(page).is_success for *_, page in QUESTIONS)

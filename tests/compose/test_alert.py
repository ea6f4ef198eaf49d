"""`plimsoll alert test` on a real Alertmanager: what its receivers did with one page."""

from pathlib import Path

import pytest

from alertmanager_world import to_pagerduty
from pagerduty import PagerDuty
from plimsoll.compose.cli import main
from stack import Alertmanager, free_port

pytestmark = pytest.mark.prometheus


def test_a_page_reaches_pagerduty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with PagerDuty() as pagerduty, Alertmanager(to_pagerduty(tmp_path, pagerduty.url)) as alertmanager:
        status = main(["alert", "test", "--alertmanager", alertmanager.url, "--pool", "chat-70b"])
    assert capsys.readouterr().out == "receiver: page\npagerduty: 1 sent, 0 failed\n"
    assert status == 0
    [event] = pagerduty.events
    assert event["payload"]["summary"] == "chat-70b: Test: the alerting chain works."
    assert pagerduty.rejected == []


def test_a_receiver_without_an_integration_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with PagerDuty() as pagerduty, Alertmanager(to_pagerduty(tmp_path, pagerduty.url)) as alertmanager:
        status = main(["alert", "test", "--alertmanager", alertmanager.url, "--severity", "ticket", "--timeout", "3"])
    assert status == 1
    assert capsys.readouterr().out.startswith("receiver: ticket\nno notification in 3 s: ")


def test_an_alertmanager_that_is_down_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alert", "test", "--alertmanager", f"http://127.0.0.1:{free_port()}"]) == 2
    assert capsys.readouterr().err.startswith("plimsoll: --alertmanager http://127.0.0.1:")

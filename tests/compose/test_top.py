"""`plimsoll top`: a live view on a real pseudo-terminal, plain text in a pipe, and figures for scripts."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from browser import served
from plimsoll.compose.cli import main
from plimsoll.compose.live.top_view import lines, overview
from plimsoll.slo.ledger.database import open_database
from plimsoll.slo.ledger.slots import Ledger
from plimsoll.slo.service.state import Service
from process import PLIMSOLL, environment, rejected
from service_world import NOW, world
from stack import free_port
from world import spec

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    service = Service(spec(), world(), Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db")), clock=lambda: NOW)
    service.ingest()
    with served(service) as found:
        yield found


class Terminal:
    """A command on a pseudo-terminal of 24 lines and some columns."""

    def __init__(self, *arguments: str, columns: int = 110, **variables: str) -> None:
        self._own, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # Its own size counts, not one that the tests' environment states.
        own = environment(**{"COLUMNS": "", "LINES": "", **variables})
        # Tests that run in the background of a script inherit that Ctrl-C is ignored.
        command = ["env", "--default-signal=INT", *PLIMSOLL, *arguments]
        self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=own)
        os.close(other)
        self.output = ""

    def wait_for(self, text: str, times: int = 1) -> None:
        """Read until a text was written so many times."""
        end = time.monotonic() + 60
        while self.output.count(text) < times:
            assert time.monotonic() < end, self.output
            if select.select([self._own], [], [], 1)[0]:
                try:
                    self.output += os.read(self._own, 65536).decode()
                except OSError:  # the other side was closed
                    pytest.fail(f"it ended: {self.output}")

    def end(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.wait_for("\x1b[?1049l")
        status = self.process.wait(30)
        os.close(self._own)
        return status


def test_a_terminal_is_refreshed_in_color_and_given_back_at_ctrl_c(url: str) -> None:
    terminal = Terminal("top", "--service-url", url, "--interval", "0.2")
    terminal.wait_for("insufficient_data", 3)
    assert terminal.output.startswith("\x1b[?1049h")
    assert "\x1b[1mSLO " in terminal.output
    screen = ESCAPE.sub("", terminal.output)
    assert re.search(r"fast +pool +\w+.* 20\.0% ", screen)
    assert terminal.end() == 0


def test_without_color_and_on_a_narrow_terminal_no_line_is_wider_than_it(url: str) -> None:
    terminal = Terminal("top", "--service-url", url, "--interval", "0.2", columns=40, NO_COLOR="1")
    terminal.wait_for("ACTION", 2)
    terminal.end()
    assert not re.search(r"\x1b\[[0-9;]*m", terminal.output)
    assert max(len(ESCAPE.sub("", line)) for line in terminal.output.splitlines()) <= 40


def test_the_last_figures_stay_while_the_service_is_away(tmp_path: Path) -> None:
    service = Service(spec(), world(), Ledger(open_database(f"sqlite:///{tmp_path}/ledger.db")), clock=lambda: NOW)
    service.ingest()
    with served(service) as url:
        terminal = Terminal("top", "--service-url", url, "--interval", "0.2")
        terminal.wait_for("insufficient_data")
    terminal.wait_for("Not refreshed: ", 2)
    # What was drawn between the first note and the second: a whole screen.
    assert "20.0%" in terminal.output.split("Not refreshed: ")[1]
    assert terminal.end() == 0


def test_a_pipe_gets_plain_text_once_and_a_script_figures(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--service-url", url]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text and "20.0%" in text and "insufficient_data" in text
    assert main(["top", "--service-url", url, "--once", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    (slo,), (pool,) = found["slos"], found["pools"]
    assert (slo["id"], slo["pool"], round(slo["budget_remaining"], 3)) == ("fast", "pool", 0.2)
    assert (pool["pool"], pool["action"], pool["waiting_requests"]) == ("pool", "insufficient_data", None)


def slo(name: str, status: str, firing: bool = False, burn: float | None = 1.0) -> dict[str, Any]:
    rate = {"short_window_seconds": 300.0, "short_burn_rate": burn, "firing": firing}
    return {
        **{"id": name, "pool": "p", "status": status, "budget_remaining": None, "coverage": 1.0, "simulated": True},
        **{"burn_rates": [rate], "exhaustion": {"seconds_to_exhaustion": 7200.0}},
    }


def test_what_is_urgent_comes_first_and_what_is_missing_is_no_data() -> None:
    slos = [slo("calm", "ok"), slo("silent", "unknown", burn=None), slo("empty", "exhausted"), slo("hot", "ok", True)]
    advice = {
        **{"pool": "p", "action": "scale_out", "current_nodes": 2, "recommended_nodes": 4, "simulated": False},
        **{"evidence": {"waiting_requests": {"a": 3.0, "b": 4.0}}, "reasons": ["Queue is long.\x1b[2J"]},
    }
    found = overview({"at": "now", "slos": slos}, [advice])
    assert [one["id"] for one in found["slos"]] == ["hot", "empty", "silent", "calm"]
    text = list(lines(found, "here", 200, color=False))
    assert "SIMULATED" in text[0]
    (silent,) = (line for line in text if line.startswith("silent"))
    assert silent.count("no data") == 2 and "2.0 h" in silent
    assert text[-1].split()[:5] == ["p", "scale_out", "2", "4", "7"] and "\x1b" not in text[-1]


def test_bad_input_is_one_line(url: str) -> None:
    assert "--interval" in rejected(["top", "--interval", "0", "--service-url", url])
    assert "isn't reachable" in rejected(["top", "--service-url", f"http://127.0.0.1:{free_port()}"])

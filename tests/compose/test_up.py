"""`plimsoll up` as a person runs it: everything starts, answers, and ends with Ctrl-C."""

import html
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
from pathlib import Path

import httpx
import pytest

from engine_pages import LOAD, MODEL, fixed, server
from plimsoll.compose.cli import main
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES as DEFAULT_OBJECTIVES_FILE
from plimsoll.slo.spec.objectives import load
from process import PLIMSOLL, Command
from stack import free_port, wait_for

DEFAULT_OBJECTIVES = {"chat-ttft", "chat-tpot", "chat-e2e", "chat-availability", "chat-goodput"}


def running() -> list[str]:
    """Command lines of all other living processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            found.append(line)
    return found


def children_of(data: Path) -> list[str]:
    """Command lines of living processes that mention the data folder."""
    return [line for line in running() if str(data) in line]


def some_ports() -> tuple[dict[str, int], list[str]]:
    """Free ports for every part, and the options that set them."""
    ports = {name: free_port() for name in ("exporter", "service", "prometheus", "alertmanager", "demo")}
    return ports, [word for name, port in ports.items() for word in (f"--{name}-port", str(port))]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_stack_comes_up_answers_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    data, log = tmp_path / "data", tmp_path / "up.log"
    ports, flags = some_ports()
    with log.open("wb") as output:
        up = subprocess.Popen([*PLIMSOLL, "up", "--data-dir", str(data), *flags], stdout=output, stderr=output)
    try:
        wait_for(lambda: "Press Ctrl-C to stop" in log.read_text() or up.poll() is not None, "the stack", 150)
        assert up.poll() is None, log.read_text()
        assert "SIMULATED" in log.read_text()
        service = f"http://127.0.0.1:{ports['service']}"
        assert httpx.get(f"{service}/-/ready", trust_env=False).status_code == 200

        def counted() -> list[dict[str, object]]:
            slos = httpx.get(f"{service}/api/v1/slos", trust_env=False).json()["slos"]
            return slos if all(slo["total"] for slo in slos) else []

        slos = wait_for(counted, "requests in every objective", 90)
        assert {slo["id"] for slo in slos} > DEFAULT_OBJECTIVES, "the demo's other pools stand beside the bundled one"
        for slo in slos:
            assert {"good", "total", "coverage", "budget_remaining", "burn_rates", "status"} <= set(slo)
            assert slo["simulated"] is True
        found = httpx.get(f"{service}/api/v1/pools/chat-70b/recommendation", trust_env=False).json()
        assert found["reasons"]
        assert "Simulated data." in httpx.get(service, trust_env=False).text
        up.send_signal(signal.SIGINT)
        assert up.wait(30) == 0, log.read_text()
    finally:
        up.send_signal(signal.SIGTERM)  # it ends its children itself
        up.wait(30)
    assert children_of(data) == []
    assert all(is_free(port) for port in ports.values())


def is_free(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/", timeout=1, trust_env=False)
    except httpx.TransportError:
        return True
    return False


@pytest.mark.slow
def test_a_required_part_that_ends_by_itself_ends_everything_and_says_where_to_look(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "ledger.db").write_text("this is no database, but it is not small either" * 100)
    _, flags = some_ports()
    own = ("--engine", "http://127.0.0.1:9", "--objectives", str(DEFAULT_OBJECTIVES_FILE))
    command = [*PLIMSOLL, "up", "--data-dir", str(data), *flags, *own]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "service exited with status 2. See" in done.stdout
    assert "can't be opened: file is not a database" in (data / "logs" / "service.log").read_text()
    assert children_of(data) == []


@pytest.mark.slow
def test_no_part_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    ports, flags = some_ports()
    with (tmp_path / "up.log").open("wb") as output:
        up = subprocess.Popen([*PLIMSOLL, "up", "--data-dir", str(tmp_path), *flags], stdout=output, stderr=output)
    parts = [
        f"{word} --listen 127.0.0.1:{ports[name]}" for word, name in (("export", "exporter"), ("serve", "service"))
    ]
    wait_for(lambda: all(any(part in line for line in running()) for part in parts), "exporter and service", 60)
    up.kill()
    up.wait(30)
    wait_for(lambda: not any(part in line for line in running() for part in parts), "both to end", 30)
    wait_for(lambda: children_of(tmp_path) == [], "every part to end", 30)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_own_engines_get_objectives_and_are_counted_without_a_file(tmp_path: Path) -> None:
    """A model that no bundled file knows; and a second one, which comes later: the page has the command that adds it."""
    data, log = tmp_path / "data", tmp_path / "up.log"
    ports, flags = some_ports()
    own = tmp_path / "own.yaml"
    text = DEFAULT_OBJECTIVES_FILE.read_text().replace("meta-llama/Llama-3.3-70B-Instruct", "acme/own-model")
    own.write_text(text)
    engine = Command(
        tmp_path / "engine.log", "demo", "--port", str(ports["demo"]), "--replicas", "1", "--objectives", str(own),
        ready=f"http://127.0.0.1:{ports['demo']}/health",
    )  # fmt: skip
    served = [LOAD.replace(MODEL, "acme/own-model")]

    def current(connection: socket.socket, path: str, stop: threading.Event) -> None:
        fixed(served[0])(connection, path, stop)

    with engine, server(current) as second:
        engines = ["--engine", f"one=http://127.0.0.1:{ports['demo']}", "--engine", f"two={second}"]
        service = f"http://127.0.0.1:{ports['service']}"
        up = Command(log, "up", *engines, "--data-dir", str(data), *flags, ready=f"{service}/-/ready")
        with up:
            assert "Starting objectives written to" in log.read_text()

            def counted() -> list[dict[str, object]]:
                slos = httpx.get(f"{service}/api/v1/slos", trust_env=False).json()["slos"]
                return slos if slos and all(slo["total"] for slo in slos) else []

            slos = wait_for(counted, "requests in every proposed SLO", 90)
            assert {slo["id"] for slo in slos} == {
                f"own-model-{kind}" for kind in ("ttft", "tpot", "e2e", "availability")
            }
            assert 'id="proposed"' in httpx.get(service, trust_env=False).text
            served[0] = LOAD.replace(MODEL, "acme/second")
            page = wait_for(
                lambda: "acme/second" in (text := httpx.get(service, trust_env=False).text) and text,
                "it on the page",
                120,
            )
            (command,) = set(re.findall(r"plimsoll (init [^<`]+--out [^<`]+)", html.unescape(str(page))))
            assert main(shlex.split(command)) == 0

            def second_slos() -> bool:
                slos = httpx.get(f"{service}/api/v1/slos", trust_env=False).json()["slos"]
                return any(slo["id"].startswith("second-") for slo in slos)

            wait_for(second_slos, "SLOs of the second model, without a restart", 60)
    models = [pool.model for pool in load((data / "objectives.yaml").read_text()).pools]
    assert models == ["acme/own-model", "acme/second"]

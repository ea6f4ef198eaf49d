"""Engines that come and go: on the page once they are there, off it without a false page, under the same name after a restart."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export_process import exporting
from paths import FIXTURES, ROOT
from plimsoll.compose.discovery import discovered_engines
from plimsoll.compose.inputs import UserError
from plimsoll.exporters.discovery import DiscoveryError, Target
from plimsoll.exporters.discovery.files import FileDiscovery
from plimsoll.exporters.discovery.watch import LEFT_SECONDS, DiscoveredEngines
from plimsoll.exporters.engines.collector import EngineCollector
from stack import free_port, wait_for

SGLANG = FIXTURES / "sglang-0.5-dp2.prom"


@contextmanager
def engine(folder: Path, port: int, after: float = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A server process whose command line is SGLang's."""
    package = folder / "sglang"
    package.mkdir(exist_ok=True)
    (package / "launch_server.py").write_text((ROOT / "tests/fakes/engine_server.py").read_text())
    command = [sys.executable, "-m", "sglang.launch_server", "--port", str(port), "--page", str(SGLANG)]
    process = subprocess.Popen([*command, "--after", str(after)], env={**os.environ, "PYTHONPATH": str(folder)})
    try:
        yield process
    finally:
        process.kill()
        process.wait(10)


@pytest.mark.slow
def test_a_servers_process_is_found_is_down_when_killed_and_is_the_same_replica_after_a_restart(tmp_path: Path) -> None:
    port = free_port()
    replica = f"127.0.0.1:{port}"
    options = ("--no-gpu", "--discover", "processes", "--state-dir", str(tmp_path / "state"))
    with exporting(tmp_path, *options) as exporter:

        def up() -> float | None:
            return exporter.values().get(("llm_replica_up", replica))

        assert up() is None
        with engine(tmp_path, port, after=1):
            wait_for(lambda: up() == 1, "the engine to be found", 30)
            started = exporter.values()["llm_replica_start_time_seconds", replica]
        assert up() == 0  # stopped or crashed: that is unknown
        with engine(tmp_path, port):
            wait_for(lambda: up() == 1, "the engine to be back", 30)
            assert exporter.values()["llm_replica_start_time_seconds", replica] > started
        # Engines of tests that run at the same time are found, too: they are on other ports.
        found = {name for metric, name in exporter.values() if metric == "llm_replica_up"}
        assert {name for name in found if name.endswith(f":{port}")} == {replica}


@pytest.mark.slow
def test_engines_of_a_list_come_and_go_with_it(tmp_path: Path) -> None:
    port, listed = free_port(), tmp_path / "engines.json"
    listed.write_text("[]")
    with engine(tmp_path, port), exporting(tmp_path, "--no-gpu", "--discover", f"file:{listed}") as exporter:

        def up() -> dict[str, float]:
            return {name: value for (metric, name), value in exporter.values().items() if metric == "llm_replica_up"}

        dead = free_port()
        assert up() == {}
        listed.write_text(
            json.dumps(
                [
                    {"targets": [f"127.0.0.1:{port}"], "labels": {"replica": "chat"}},
                    {"targets": [f"127.0.0.1:{dead}"]},
                ]
            )
        )
        wait_for(lambda: up() == {"chat": 1, f"127.0.0.1:{dead}": 0}, "both to be on the page", 30)
        listed.write_text("[{")  # half a file: the last list holds
        wait_for(lambda: "engines found before are still read" in exporter.said(), "the error", 30)
        assert up()["chat"] == 1
        listed.write_text("[]")
        wait_for(lambda: up() == {}, "both to leave", 30)


class Listed:
    """A discovery whose list a test sets."""

    name = "listed"

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.broken = False

    def find(self) -> list[Target]:
        """Return the list."""
        if self.broken:
            raise DiscoveryError("listed: broken.")
        return self.targets


def watched(listed: Listed, *named: EngineCollector) -> tuple[DiscoveredEngines, list[float]]:
    now = [0.0]

    def make(target: Target) -> EngineCollector:
        return EngineCollector(f"{target.name}={target.url}" if target.name else target.url)

    return DiscoveredEngines([listed], make, named, lambda: now[0]), now


def names(engines: DiscoveredEngines) -> list[str]:
    engines.look()
    return [one.replica for one in engines.collectors]


def test_a_process_that_ended_is_down_for_less_than_a_page_takes_and_a_listed_one_leaves_at_once(
    tmp_path: Path,
) -> None:
    port, listed = free_port(), Listed()
    engines, now = watched(listed)
    with engine(tmp_path, port):
        maybe, sure = (
            Target(f"http://127.0.0.1:{port}", certain=False, lingers=True),
            Target("http://10.0.0.9:1", "sure"),
        )
        listed.targets = [maybe, sure]
        wait_for(lambda: sorted(names(engines)) == [f"127.0.0.1:{port}", "sure"], "the page")
    listed.targets = []
    assert names(engines) == [f"127.0.0.1:{port}"]
    now[0] += LEFT_SECONDS - 1
    assert names(engines) == [f"127.0.0.1:{port}"]
    listed.targets = [maybe]  # it was restarted in time
    assert names(engines) == [f"127.0.0.1:{port}"]
    listed.targets = []
    assert names(engines) == [f"127.0.0.1:{port}"]
    now[0] += LEFT_SECONDS
    assert names(engines) == []


def test_what_is_named_or_has_a_name_already_is_not_read_twice() -> None:
    listed = Listed()
    engines, _ = watched(listed, EngineCollector("chat=http://localhost:8000"))
    listed.targets = [
        Target("http://127.0.0.1:8000"),
        Target("http://10.0.0.1:8000", "chat"),
        Target("http://10.0.0.2:8000", "code"),
        Target("http://10.0.0.3:8000", "code"),
    ]
    assert names(engines) == ["code"]
    listed.broken = True
    assert names(engines) == ["code"]  # the last list holds


def test_an_address_that_is_no_engines_is_left_alone_for_longer_and_longer(tmp_path: Path) -> None:
    listed, reads, now = Listed(), list[float](), [0.0]

    class Other(EngineCollector):
        def collect(self, deadline: float) -> list[object]:  # type: ignore[override]
            reads.append(now[0])
            raise ValueError("no page")

    engines = DiscoveredEngines([listed], lambda target: Other(target.url), (), lambda: now[0])
    listed.targets = [Target("http://127.0.0.1:5432", certain=False)]
    while now[0] < 400:
        assert names(engines) == []
        now[0] += 10
    assert reads == [0, 10, 30, 60, 120, 240, 360]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("targets: [a:1]", "isn't a list of groups"),
        ("[{targets: [1]}]", "no list of HOST:PORT"),
        ("[{targets: ['a:1', 'b:2'], labels: {replica: x}}]", "Give each a group"),
        ("[{targets: ['a:x']}]", "not a server address"),
        ("[{", "Write a list of"),
        ("[{targets: ['a:1'], targets: ['b:1']}]", "targets"),
    ],
)
def test_a_bad_list_is_refused_in_one_line(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        discovered_engines([f"file:{path}"], [], None)
    message = str(raised.value)
    assert message.startswith(f"{path}: ") and why in message and "\n" not in message


def test_scheme_path_and_name_of_a_list_are_used(tmp_path: Path) -> None:
    path = tmp_path / "list.yaml"
    path.write_text(
        "[{targets: ['n1:8000', 'n2:8000']}, {targets: ['n3:8443'], labels: "
        "{__scheme__: https, __metrics_path__: /a/metrics, replica: r, region: eu}}]"
    )
    assert FileDiscovery(path).find() == [
        Target("http://n1:8000"),
        Target("http://n2:8000"),
        Target("https://n3:8443/a", "r"),
    ]


@pytest.mark.parametrize("text", ["pods", "file:", "processes:x", "docker:x"])
def test_another_discovery_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--discover: expected processes, kubernetes, docker, or file:PATH"):
        discovered_engines([text], [], None)

"""`plimsoll serve` and `plimsoll token` as an operator meets them, on SQLite and on PostgreSQL."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from crowd import BODY, HEAD, crowd, fastest
from paths import ROOT
from plimsoll.slo.service.http.body import MAX_BODY
from process import PLIMSOLL, Command, environment, rejected
from stack import free_port, wait_for

SOURCE = ["--source", "scrape:http://127.0.0.1:9"]
DEAD = "http://127.0.0.1:9"  # the discard port: nobody listens
STRONG = "0123456789abcdef" * 2


def token(*arguments: str) -> tuple[str, str]:
    """Return a token's text and the line that is kept of it."""
    done = subprocess.run([*PLIMSOLL, "token", *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stderr.rpartition(" ")[2].strip(), done.stdout


def write_private(file: Path, text: str) -> None:
    file.touch(0o600)
    file.write_text(text)


@pytest.mark.slow
def test_the_service_asks_for_the_tokens_that_it_was_given(database: str, tmp_path: Path) -> None:
    reading, line = token("grafana", "read")
    write_private(tmp_path / "tokens", line)
    assert reading not in line
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    options = ["--db", database, "--listen", f"127.0.0.1:{port}", "--token-file", str(tmp_path / "tokens")]
    with Command(tmp_path / "log", "serve", *SOURCE, *options, ready=f"{url}/-/healthy", env=environment()) as running:
        assert httpx.get(f"{url}/api/v1/slos").status_code == 401
        bearer = {"Authorization": f"Bearer {reading}"}
        listed = httpx.get(f"{url}/api/v1/slos", headers=bearer).json()["slos"]
        assert len(listed) == 5
        exclusion = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T01:00:00Z", "created_by": "a", "reason": "b"}
        assert httpx.post(f"{url}/api/v1/exclusions", json=exclusion, headers=bearer).status_code == 403
        assert running.process is not None
    assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("grafana read plimsoll_secret\n", "line 1: expected NAME read|write SHA256"),
        ("# nothing yet\n", "no token. Create one with `plimsoll token NAME read`"),
        (None, "No such file or directory"),
    ],
)
def test_a_wrong_token_file_is_one_line(content: str | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        write_private(tmp_path / "tokens", content)
    line = rejected(["serve", *SOURCE, "--token-file", str(tmp_path / "tokens")], environment(), tmp_path)
    assert said in line
    assert "plimsoll_secret" not in line


def test_a_wrong_name_of_a_token_is_one_line(tmp_path: Path) -> None:
    assert "'Two Words' isn't a valid name" in rejected(["token", "Two Words", "read"], environment(), tmp_path)


@pytest.mark.parametrize(
    ("mode", "server"), [(0o640, "serve"), (0o604, "serve"), (0o640, "export"), (0o604, "export"), (0o644, "file")]
)
def test_a_token_file_that_others_can_read_is_refused_with_the_command_that_fixes_it(
    tmp_path: Path, mode: int, server: str
) -> None:
    file = tmp_path / "token"
    _, line = token("grafana", "read")
    write_private(file, line if server == "file" else STRONG)
    file.chmod(mode)
    arguments, env = {
        "serve": (["serve", *SOURCE, "--listen", "127.0.0.1:0"], environment(PLIMSOLL_TOKEN_FILE=str(file))),
        "export": (["export", "--no-gpu", "--engine", DEAD], environment(PLIMSOLL_EXPORTER_TOKEN_FILE=str(file))),
        "file": (["serve", *SOURCE, "--token-file", str(file)], environment()),
    }[server]
    assert f"chmod 600 {file}" in rejected(arguments, env, tmp_path)


@pytest.mark.parametrize("weak", ["secret", "0123456789abcdef" + "0" * 15, "a" * 64, "1234567890" * 3, "Tr0ub4dor&3"])
def test_a_token_that_could_be_guessed_is_refused_and_not_shown(weak: str, tmp_path: Path) -> None:
    for command, variable in (("serve", "PLIMSOLL_TOKEN"), ("export", "PLIMSOLL_EXPORTER_TOKEN")):
        options = SOURCE if command == "serve" else ["--no-gpu", "--engine", DEAD]
        line = rejected([command, *options, "--listen", "127.0.0.1:0"], environment(**{variable: weak}), tmp_path)
        assert "openssl rand -hex 32" in line
        assert weak not in line


def test_tokens_are_appended_to_a_file_that_no_one_else_reads(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    previous = os.umask(0o022)
    try:
        for name, scope in (("grafana", "read"), ("oncall", "write")):
            made, printed = token(name, scope, "--token-file", str(file))
            assert (printed, made.startswith("plimsoll_")) == ("", True)
    finally:
        os.umask(previous)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [line.split()[:2] for line in file.read_text().splitlines()] == [["grafana", "read"], ["oncall", "write"]]
    file.chmod(0o644)
    before = file.read_text()
    assert f"chmod 600 {file}" in rejected(["token", "x", "read", "--token-file", str(file)], environment(), tmp_path)
    write_private(tmp_path / "other", "[section]\n")
    assert "line 1" in rejected(
        ["token", "x", "read", "--token-file", str(tmp_path / "other")], environment(), tmp_path
    )
    assert (file.read_text(), (tmp_path / "other").read_text()) == (before, "[section]\n")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--auth-proxy-header", "X-Forwarded-User"], "--trusted-proxy"),
        (["--trusted-proxy", "10.0.0.0/8", "--auth-proxy-header", "X User"], "--auth-proxy-header"),
        (["--trusted-proxy", "everybody"], "--trusted-proxy"),
        (["--trusted-proxy", "10.0.0.5/8"], "--trusted-proxy"),
        (["--auth-proxy-write", "X-Forwarded-Groups=sre"], "--auth-proxy-header"),
        (["--trusted-proxy", "::1", "--auth-proxy-header", "X-User", "--auth-proxy-write", "sre"], "HEADER=VALUE"),
        (["--allowed-host", "https://slo.example.com/"], "--allowed-host"),
    ],
)
def test_wrong_options_of_access_are_one_line(options: list[str], named: str, tmp_path: Path) -> None:
    assert named in rejected(["serve", *SOURCE, *options], environment(), tmp_path)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Command, int]]:
    """A service on all addresses with a token, as it is started for people; its port."""
    folder, port = tmp_path_factory.mktemp("access"), free_port()
    options = ["--db", f"sqlite:///{folder}/ledger.db", "--listen", f"0.0.0.0:{port}"]
    ready = f"http://127.0.0.1:{port}/-/healthy"
    env = environment(PLIMSOLL_TOKEN=STRONG)
    with Command(folder / "log", "serve", *SOURCE, *options, ready=ready, env=env, cwd=ROOT) as service:
        yield service, port


@pytest.mark.slow
@pytest.mark.parametrize("head", [b"", HEAD, BODY], ids=["idle", "head", "body"])
def test_a_thousand_held_connections_keep_nobody_out(running: tuple[Command, int], head: bytes) -> None:
    service, port = running
    with crowd(port, 1000, head) as held:
        for path in ("/-/healthy", "/login"):
            assert fastest(f"http://127.0.0.1:{port}{path}") < 1
        wait_for(lambda: held.closed >= 500, "half of them to be closed")
        assert fastest(f"http://127.0.0.1:{port}/login") < 1
    assert "out of system resource" not in service.log.read_text()


@pytest.mark.slow
def test_a_huge_body_costs_no_memory_and_nothing_secret_is_logged(running: tuple[Command, int]) -> None:
    service, port = running
    assert service.process is not None
    url, bearer = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {STRONG}"}
    before = resident(service.process.pid)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as one:
        head = f"POST /api/v1/exclusions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {STRONG}\r\n"
        one.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        part = b"%x\r\n%s\r\n" % (2**20, b" " * 2**20)
        for _ in range(200):
            one.sendall(part)
        assert one.recv(65536).split()[1] == b"413"
    assert resident(service.process.pid) - before < 30 * 2**20
    wrong = "f00" + STRONG[3:]
    assert httpx.post(f"{url}/login", data={"token": wrong}, headers={"X-Forwarded-For": "1.2.3.4"}).status_code == 401
    assert httpx.get(f"{url}/api/v1/slos", headers=bearer).status_code == 200
    assert httpx.post(f"{url}/login", data={"token": STRONG}).status_code == 303
    log = service.log.read_text()
    found = [json.loads(line.partition(": ")[2]) for line in log.splitlines() if " plimsoll.access: " in line]
    assert [(one["event"], one["address"], one["name"]) for one in found] == [
        ("login_failed", "127.0.0.1", None),
        ("login", "127.0.0.1", "environment"),
    ]
    assert STRONG not in log and wrong not in log
    command = Path(f"/proc/{service.process.pid}/cmdline").read_bytes()
    assert STRONG.encode() not in command
    assert len(part) > MAX_BODY


def resident(pid: int) -> int:
    """Bytes of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

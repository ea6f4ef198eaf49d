"""`plimsoll serve` and `plimsoll token` as an operator meets them, on SQLite and on PostgreSQL."""

import subprocess
from pathlib import Path

import httpx
import pytest

from process import PLIMSOLL, Command, environment, rejected
from stack import free_port

SOURCE = ["--source", "scrape:http://127.0.0.1:9"]


def token(*arguments: str) -> tuple[str, str]:
    """Return a token's text and the line that is kept of it."""
    done = subprocess.run([*PLIMSOLL, "token", *arguments], capture_output=True, text=True, check=True, timeout=60)
    return done.stderr.rpartition(" ")[2].strip(), done.stdout


@pytest.mark.slow
def test_the_service_asks_for_the_tokens_that_it_was_given(database: str, tmp_path: Path) -> None:
    reading, line = token("grafana", "read")
    (tmp_path / "tokens").write_text(line)
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
        (tmp_path / "tokens").write_text(content)
    line = rejected(["serve", *SOURCE, "--token-file", str(tmp_path / "tokens")], environment(), tmp_path)
    assert said in line
    assert "plimsoll_secret" not in line


def test_a_wrong_name_of_a_token_is_one_line(tmp_path: Path) -> None:
    assert "'Two Words' isn't a valid name" in rejected(["token", "Two Words", "read"], environment(), tmp_path)

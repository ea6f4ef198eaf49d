"""The command line: bad input is one line that says what, where and the fix, with exit status 2."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from paths import OBJECTIVES
from plimsoll.compose.cli import main
from process import PLIMSOLL, environment, rejected

GOOD = OBJECTIVES.read_text()


def said(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*PLIMSOLL, *arguments], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_help_names_every_command() -> None:
    status, text = said("--help")
    assert status == 0
    for command in ("up", "export", "serve", "build", "check", "vllm-args", "review", "probe"):
        assert f"    {command}" in text


@pytest.mark.parametrize(("given", "found"), [(None, "1"), ("4", "4")])
def test_small_matrices_have_one_thread_unless_asked_otherwise(
    given: str | None, found: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", given or "")
    if given is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert os.environ["OPENBLAS_NUM_THREADS"] == found


def test_a_wrong_objectives_file_is_one_line_with_file_field_and_fix(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(GOOD.replace("target: 99.9%", "target: 99.9"))
    for command in (
        ["check", "--objectives", str(wrong)],
        ["vllm-args", "--objectives", str(wrong)],
        ["build", "--objectives", str(wrong), "--out", str(tmp_path / "out")],
        ["export", "--no-gpu", "--objectives", str(wrong), "--listen", "127.0.0.1:0"],
        ["serve", "--source", "scrape:http://127.0.0.1:9", "--objectives", str(wrong)],
        ["up", "--objectives", str(wrong), "--data-dir", str(tmp_path / "data")],
    ):
        line = rejected(command)
        assert f"{wrong}: objectives[3].target: 99.9 isn't a percentage above 0% and below 100%." in line
    assert not (tmp_path / "out").exists()
    assert "No such file" in rejected(["check", "--objectives", str(tmp_path / "none.yaml")])


def test_what_is_wrong_with_the_words_is_said_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from plimsoll.compose.cli import main; assert main(sys.argv[1:]) == 2;"
        "print([n for n in ('fastapi', 'sqlalchemy', 'pandas', 'numpy', 'alembic', 'uvicorn') if n in sys.modules])"
    )
    for words in (["--source", "x"], ["--source", "scrape:http://h:1", "--listen", "80"]):
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, "serve", *words], capture_output=True, text=True, check=False, timeout=60
        )
        assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--source", "ftp://x"], "--source: expected prometheus:http://HOST:9090 or scrape:http://HOST:9800"),
        (["--source", "scrape:http://127.0.0.1:9", "--listen", "8080"], "--listen: expected HOST:PORT"),
        (["--source", "scrape:http://127.0.0.1:9", "--listen", "127.0.0.1:99999"], "got '127.0.0.1:99999'"),
        (
            ["--source", "scrape:http://127.0.0.1:9", "--listen", "0.0.0.0:0"],
            "reachable from other hosts. Set PLIMSOLL_TOKEN",
        ),
        (["--source", "scrape:http://127.0.0.1:9", "--db", "sqlite:////nowhere/x.db"], "--db sqlite:////nowhere/x.db"),
        (["--source", "scrape:http://127.0.0.1:9", "--db", "nonsense"], "--db nonsense: can't be opened"),
    ],
)
def test_wrong_arguments_to_serve_are_one_line(arguments: list[str], line: str, tmp_path: Path) -> None:
    env = {name: value for name, value in environment().items() if name != "PLIMSOLL_TOKEN"}
    assert line in rejected(["serve", *arguments], env, tmp_path)


def test_a_database_error_never_shows_the_password(tmp_path: Path) -> None:
    url = "postgresql://plimsoll:hunter2@127.0.0.1:9/ledger"
    assert "hunter2" not in rejected(["serve", "--source", "scrape:http://127.0.0.1:9", "--db", url], None, tmp_path)


def test_a_port_in_use_is_named_with_the_flag_that_moves_it(tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        line = rejected(["up", "--data-dir", str(tmp_path), "--service-port", port])
        assert f"port {port} is in use" in line
        assert "--service-port" in line
        serve = rejected(
            ["serve", "--source", "scrape:http://127.0.0.1:9", "--listen", f"127.0.0.1:{port}"], None, tmp_path
        )
        assert f"127.0.0.1:{port}" in serve
        assert "in use" in serve


def test_check_says_when_an_incident_would_be_noticed(tmp_path: Path) -> None:
    file = tmp_path / "objectives.yaml"
    file.write_text(GOOD)
    status, text = said("check", "--objectives", str(file))
    assert status == 0
    assert (
        "SLO chat-ttft: 10% bad: no page, ticket after 36.0 h; 50% bad: page after 4 min; 100% bad: page after 2 min"
        in text
    )
    file.write_text(GOOD.replace("600ms}, target: 95%", "600ms}, target: 90%", 1))
    status, text = said("check", "--objectives", str(file), "--json")
    found = json.loads(text)
    assert status == 0
    assert any(
        (item["code"], item["path"]) == ("burn-rate-threshold-capped", "objectives[0]")
        and "capped at 8" in item["message"]
        for item in found
    )


def test_vllm_args_make_every_limit_a_bound(tmp_path: Path) -> None:
    file = tmp_path / "objectives.yaml"
    file.write_text(GOOD)
    status, text = said("vllm-args", "--objectives", str(file))
    buckets = json.loads(text.split("'")[1])
    assert (status, text.startswith("--custom-histogram-buckets '")) == (0, True)
    assert 0.6 in buckets["time_to_first_token"]
    assert 0.04 in buckets["inter_token_latency"]
    assert 4.0 in buckets["request_latency"]
    assert 0.5 in buckets["time_to_first_token"]
    assert text.count("\n") == 1


def test_vllm_args_say_aside_which_brackets_they_close(tmp_path: Path) -> None:
    file = tmp_path / "objectives.yaml"
    file.write_text(GOOD.replace("id: chat-ttft, ", "id: chat-ttft, bucket_mismatch: bounds, "))
    command = [*PLIMSOLL, "vllm-args", "--objectives", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("\n") == 1  # a shell takes it as it is
    assert done.stderr == (
        "chat-ttft: time_to_first_token <= 600ms is exact with these arguments. Remove bucket_mismatch: bounds.\n"
    )

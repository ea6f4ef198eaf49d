"""`plimsoll engines`: what an endpoint is, what is missing and what that costs; and endpoints that want a token or a query."""

import json
import socket
import threading
from pathlib import Path

import pytest

from engine_pages import LOAD, MODEL, Answer, fixed, http, pages, server
from paths import FIXTURES
from plimsoll.compose.cli import main
from stack import free_port

SGLANG = (FIXTURES / "engines/sglang-0.5.23-plain.prom").read_text()


def asked(answer: Answer, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, dict[str, object]]:
    """Exit status and the report of one server."""
    with server(answer) as url:
        status = main(["engines", f"edge={url}", "--json", *options])
    (report,) = json.loads(capsys.readouterr().out)
    return status, report


def test_an_engine_that_has_everything_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    status, report = asked(pages([LOAD])[0], capsys)
    assert status == 0
    assert (report["engine"], report["version"], report["replicas"]) == ("vLLM", "0.32.0", {"edge": MODEL})
    assert report["objectives"] and None not in dict(report["objectives"]).values()  # type: ignore[call-overload]
    assert dict(report["found"])["llm_requests_running"] == ["vllm:num_requests_running"]  # type: ignore[call-overload]


def test_a_missing_name_costs_the_alerts_and_panels_that_use_it(capsys: pytest.CaptureFixture[str]) -> None:
    status, report = asked(pages([SGLANG.replace('"qwen"', f'"{MODEL}"')])[0], capsys)
    missing = {one["metric"]: one for one in report["missing"]}  # type: ignore[attr-defined]
    assert missing["llm_progress_tokens_total"]["alerts"] == ["LLMReplicaStalled", "LLMTrafficStopped"]
    assert any("Prefill time" in panel for panel in missing["llm_request_prefill_seconds"]["panels"])
    # No round limit is a bound of this page's histograms.
    assert status == 1 and dict(report["objectives"])["chat-availability"] == "counter"  # type: ignore[call-overload]


def test_a_name_that_the_version_should_have_is_unusable(capsys: pytest.CaptureFixture[str]) -> None:
    status, report = asked(pages([LOAD.replace("vllm:kv_cache_usage_perc", "vllm:renamed")])[0], capsys)
    assert status == 1 and report["unusable"] == {"vllm:kv_cache_usage_perc": "absent"}


def test_what_is_no_engine_or_not_there_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert asked(fixed("go_goroutines 7\n"), capsys)[1]["reason"] == "page"
    assert main(["engines", f"http://127.0.0.1:{free_port()}", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["reason"] == "unreachable"


def test_its_text_names_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    with server(pages([SGLANG])[0]) as url:
        assert main(["engines", url]) == 0
    text = capsys.readouterr().out
    assert "SGLang" in text and "llm_progress_tokens_total" in text and "LLMReplicaStalled" in text


@pytest.mark.parametrize(
    "options", [["nowhere"], ["http://a:1", "--engine-token", "a:1"], ["http://a:1", "--engine-token", "b=/x"]]
)
def test_bad_input_is_exit_2(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["engines", *options]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_page_that_wants_a_token_gets_it_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    heard: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                request = connection.recv(65536)
                heard.append(request)
                allowed = b"Authorization: Bearer s3cret\r\n" in request
                connection.sendall(http(LOAD.encode()) if allowed else http(b"", "401 Unauthorized"))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/metrics?format=text"
        assert main(["engines", f"edge={url}", "--json", "--engine-token", f"edge={token}"]) == 0
        assert heard[0].startswith(b"GET /metrics?format=text HTTP/1.1\r\n")
        capsys.readouterr()
        assert main(["engines", f"edge={url}", "--json"]) == 1
        assert json.loads(capsys.readouterr().out)[0]["reason"] == "unauthorized"
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


@pytest.mark.parametrize("content", ["", "two words", "two\nlines"])
def test_a_file_without_a_token_is_named_and_its_content_is_not(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.write_text(content)
    with server(fixed(LOAD)) as url:
        assert main(["engines", f"edge={url}", "--json", "--engine-token", f"edge={token}"]) == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert str(token) in report["problem"] and "two" not in report["problem"].replace(str(token), "")

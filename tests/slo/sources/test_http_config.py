"""The file of --source-config: Prometheus' HTTP configuration; whatever is wrong is one line that holds no secret."""

from pathlib import Path

import pytest

from each_case import each_case
from plimsoll.slo.sources.http_config import HttpConfigError, load


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "source.yaml"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_credentials_become_headers_and_files_are_read_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "tenant").write_text("a|b")
    text = """
authorization: {credentials_file: token}
http_headers:
  X-Scope-OrgID: {files: [tenant]}
  X-More: {values: ["1"], secrets: ["2"]}
"""
    found = load(written(tmp_path, text))
    rest = [("X-Scope-OrgID", "a|b"), ("X-More", "1"), ("X-More", "2")]
    assert found.headers() == [("Authorization", "Bearer first"), *rest]
    (tmp_path / "token").write_text("second")
    assert found.headers() == [("Authorization", "Bearer second"), *rest]


def test_basic_and_other_schemes(tmp_path: Path) -> None:
    found = load(written(tmp_path, "basic_auth: {username: Aladdin, password: 'open sesame'}"))
    assert found.headers() == [("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")]  # RFC 7617, section 2
    found = load(written(tmp_path, "authorization: {type: ApiKey, credentials: hunter2}"))
    assert found.headers() == [("Authorization", "ApiKey hunter2")]
    assert load(written(tmp_path, "")).headers() == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_secret_that_others_may_read_is_refused_and_a_name_of_a_file_is_not(tmp_path: Path, mode: int) -> None:
    with pytest.raises(HttpConfigError, match="chmod 600"):
        load(written(tmp_path, "authorization: {credentials: hunter2}", mode))
    with pytest.raises(HttpConfigError, match="chmod 600"):
        load(written(tmp_path, "http_headers: {X-Key: {secrets: [hunter2]}}", mode))
    (tmp_path / "token").write_text("hunter2")
    assert load(written(tmp_path, "authorization: {credentials_file: token}", mode)).headers()
    assert load(written(tmp_path, "http_headers: {X-Scope-OrgID: {values: [team]}}", mode)).headers()


WRONG = {
    "not YAML": ("authorization: {credentials: hunter2", "not YAML, line 1"),
    "a key twice": (
        "authorization: {credentials: hunter2,\n credentials: hunter2}",
        "not YAML, line 2",
    ),
    "a field with lines": ('authorization: {"a\\nb": hunter2}', "a?b"),
    "another field": ("bearer_token: hunter2", "bearer_token"),
    "another type": ("authorization: {credentials: [hunter2]}", "$.authorization.credentials"),
    "a list": ("[hunter2]", "Expected `object`"),
    "no credentials": ("authorization: {}", "either credentials or credentials_file"),
    "twice": (
        "authorization: {credentials: hunter2, credentials_file: token}",
        "either credentials or credentials_file",
    ),
    "two kinds": ("{authorization: {credentials: hunter2}, basic_auth: {username: a, password: hunter2}}", "both"),
    "no password": ("basic_auth: {username: a}", "either password or password_file"),
    "basic by hand": ("authorization: {type: Basic, credentials: hunter2}", "basic_auth"),
    "no key": ("tls_config: {cert_file: a.pem}", "both cert_file and key_file"),
    "no such token": ("authorization: {credentials_file: nowhere}", "nowhere: can't be read"),
    "an empty token": ("authorization: {credentials_file: empty}", "empty: isn't one line"),
    "a token of two lines": ("authorization: {credentials_file: lines}", "lines: isn't one line"),
    "a token that isn't text": ("authorization: {credentials_file: binary}", "binary: isn't one line"),
    "a header within a value": ('http_headers: {X-A: {values: ["1\\r\\nhunter2: 1"]}}', "http_headers.X-A"),
    "a header's name": ('http_headers: {"X A": {values: ["1"]}}', "http_headers.X A"),
    "a header of its own": ("http_headers: {authorization: {secrets: [hunter2]}}", "http_headers.authorization"),
    "no such CA": ("tls_config: {ca_file: nowhere.pem}", "nowhere.pem"),
    "a CA that is none": ("tls_config: {ca_file: lines}", "lines: can't be used"),
    "a certificate that is none": ("tls_config: {cert_file: lines, key_file: lines}", "lines: can't be used"),
}


def test_what_is_wrong_is_said_in_one_line_without_the_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hunter2")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "lines").write_text("hunter2\nhunter2\n")
    (tmp_path / "binary").write_bytes(b"hunter2\xff")

    @each_case(WRONG.items())
    def check(case: tuple[str, str]) -> None:
        text, part = case
        with pytest.raises(HttpConfigError) as raised:
            load(written(tmp_path, text))
        message = str(raised.value)
        assert part in message and message.startswith(f"{tmp_path}/source.yaml: "), message
        assert message.isprintable() and "hunter2" not in message, message

    check()
    with pytest.raises(HttpConfigError, match=r"no\.yaml: can't be read"):
        load(tmp_path / "no.yaml")

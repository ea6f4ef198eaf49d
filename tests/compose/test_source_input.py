"""Addresses of sources as they are entered."""

import pytest

from each_case import each_case
from plimsoll.compose.inputs import UserError
from plimsoll.compose.sources import read_prometheus, read_source

TAKEN = (
    "prometheus:http://127.0.0.1:9090",
    "prometheus:https://thanos.example/prefix/",
    "prometheus:http://[::1]:9090/select/0/prometheus",
    "scrape:http://a:9800,http://b:9800/metrics,https://[::1]",
)
REJECTED = (
    *("", "x", "http://a:9090", "ftp:http://a", "prometheus:a:9090", "prometheus:http://", "prometheus:http:///x"),
    *("prometheus:http://a:99999", "prometheus:http://a:x", "prometheus:http://[::1", "prometheus:httpx://a"),
    *("scrape:http://a:1,", "scrape:http://a,b", "prometheus:http://a b", "prometheus:http://a/\n"),
    *("prometheus:http://hunter2@a", "prometheus:http://x:hunter2@a", "scrape:http://a,http://:hunter2@b"),
    *("prometheus:http://x:hunter2@", "x:http://u:hunter2@a", "prometheus:http://x:hunter2@a@b:99999"),
    *("prometheus:http://a?x=hunter2", "prometheus:http://a/#hunter2", "prometheus://u:hunter2@a"),
)


@each_case((text, text) for text in TAKEN)
def test_an_address_is_taken_as_it_is(text: str) -> None:
    assert str(read_source(text, None)) == text


@each_case((text, text) for text in REJECTED)
def test_what_is_no_address_or_holds_a_secret_is_refused_and_the_secret_not_repeated(text: str) -> None:
    with pytest.raises(UserError) as raised:
        read_source(text, None)
    message = str(raised.value)
    assert message.startswith("--source") and "\n" not in message and "hunter2" not in message, message


def test_the_address_of_a_prometheus_alone_is_checked_likewise() -> None:
    assert read_prometheus("http://a:9090", None).urls == ("http://a:9090",)
    for text in ("a:9090", "http://u:hunter2@a", "http://a/?hunter2"):
        with pytest.raises(UserError) as raised:
            read_prometheus(text, None)
        assert "--prometheus" in str(raised.value) and "hunter2" not in str(raised.value)

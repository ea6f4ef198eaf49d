"""Receivers of `plimsoll serve`: a wrong one is one line that states what, where and the fix, without a secret."""

import pytest

from process import environment, rejected


@pytest.mark.parametrize(
    ("options", "variables", "line"),
    [
        (["--review-receiver", "pager"], {}, "--review-receiver: expected an address"),
        (["--review-receiver", "email:ann"], {}, "--review-receiver: expected a mail address"),
        (["--review-receiver", "email:a@b.example"], {}, "--email-from: expected a mail address"),
        (
            ["--review-receiver", "email:a@b.example", "--email-from", "c@d.example"],
            {},
            "--smtp-relay: expected HOST:PORT",
        ),
        (["--smtp-user", "me"], {}, "--smtp-user: no password"),
        (["--smtp-user", "me", "--smtp-encryption", "none"], {"PLIMSOLL_SMTP_PASSWORD": "word"}, "without encryption"),
        (["--review-receiver", "slack"], {}, "PLIMSOLL_SLACK_URL_FILE"),
        (["--review-receiver", "https://me:word@ops.example/x"], {}, "--review-receiver: contains a password"),
        (["--review-receiver", "https://a.example/x", "--review-receiver", "https://a.example/y"], {}, "same host"),
    ],
)
def test_a_wrong_receiver_is_one_line(options: list[str], variables: dict[str, str], line: str) -> None:
    said = rejected(["serve", "--source", "scrape:http://127.0.0.1:9", *options], environment(**variables))
    assert line in said and "word@" not in said

"""Options of `plimsoll serve` for change events to PagerDuty."""

import argparse
import re

from plimsoll.compose.inputs import UserError
from plimsoll.compose.listen import read_secret
from plimsoll.compose.outgoing.urls import checked

KEY, URL = "--pagerduty-key-file", "--pagerduty-change-url"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        KEY,
        metavar="FILE",
        help="file with a PagerDuty integration key (Events API v2): send change events of rollouts, exclusions, and scaling",
    )
    parser.add_argument(
        URL,
        metavar="URL",
        default="https://events.pagerduty.com/v2/change/enqueue",
        help="where change events go (default: %(default)s; EU: events.eu.pagerduty.com)",
    )


def read(args: argparse.Namespace) -> tuple[str, str] | None:
    """Return the integration key and the URL, None without a key; raises UserError."""
    path = args.pagerduty_key_file
    if path is None:
        return None
    key = read_secret(KEY, path, "key")
    if not re.fullmatch("[A-Za-z0-9]{32}", key):
        raise UserError(f"{KEY}: {path} has no integration key of 32 characters. Copy it from PagerDuty's integration.")
    example = "an address such as https://events.eu.pagerduty.com/v2/change/enqueue"
    return key, checked(URL, args.pagerduty_change_url, example, "Leave it out")

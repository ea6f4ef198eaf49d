"""Where counters are read from, as a user enters it: a Prometheus, or exporters that are scraped directly; and what to send there."""

import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from plimsoll.compose.inputs import UserError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine

    from plimsoll.slo.ledger.scrape_source import ScrapeSource
    from plimsoll.slo.sources.http_config import Credentials
    from plimsoll.slo.sources.prometheus import PrometheusSource
    from plimsoll.slo.sources.selector import Selector

SOURCE_CONFIG = "PLIMSOLL_SOURCE_CONFIG"


class SourceInput(NamedTuple):
    """A source as entered: its kind (`prometheus` or `scrape`), its URLs without credentials, and the credentials."""

    kind: str
    urls: tuple[str, ...]
    credentials: "Credentials"

    def __str__(self) -> str:
        return f"{self.kind}:{','.join(self.urls)}"


def add_source_config(parser: "argparse.ArgumentParser") -> None:
    """Declare --source-config."""
    parser.add_argument(
        "--source-config",
        metavar="FILE",
        help=f"credentials and TLS of the source, in Prometheus' HTTP configuration format (default: {SOURCE_CONFIG})",
    )


def read_source(text: str, config: str | None) -> SourceInput:
    """Read `prometheus:URL` or `scrape:URL[,URL...]` and the file of --source-config; raises UserError, which repeats no password."""
    kind, _, rest = text.partition(":")
    if kind not in ("prometheus", "scrape") or not rest.startswith("http"):
        raise UserError(
            f"--source: expected prometheus:http://HOST:9090 or scrape:http://HOST:9800[,...], got {_shown(text)!r}."
        )
    urls = rest.split(",") if kind == "scrape" else [rest]
    return SourceInput(kind, tuple(_checked(url, "--source") for url in urls), _credentials(config))


def read_prometheus(url: str, config: str | None) -> SourceInput:
    """Read the URL of --prometheus and the file of --source-config; raises UserError, which repeats no password."""
    return SourceInput("prometheus", (_checked(url, "--prometheus"),), _credentials(config))


def open_prometheus(entered: SourceInput) -> "PrometheusSource":
    """Open a Prometheus."""
    from plimsoll.slo.sources.prometheus import PrometheusSource  # noqa: PLC0415 - slow; input errors are reported before

    return PrometheusSource(entered.urls[0], entered.credentials)


def open_source(
    entered: SourceInput,
    engine: "Engine",
    wanted: "Sequence[Selector]",
    clock: "Callable[[], float]" = time.time,
) -> "PrometheusSource | ScrapeSource":
    """Open a source. Scrapes store the `wanted` series in a database, at the time of `clock` (Unix seconds)."""
    from plimsoll.slo.ledger.scrape_source import ScrapeSource  # noqa: PLC0415 - slow; input errors are reported before

    if entered.kind == "prometheus":
        return open_prometheus(entered)
    return ScrapeSource(entered.urls, engine, wanted, clock, entered.credentials)


def _credentials(file: str | None) -> "Credentials":
    from plimsoll.slo.sources.http_config import NO_CREDENTIALS, HttpConfigError, load  # noqa: PLC0415 - as above

    path = file or os.environ.get(SOURCE_CONFIG)
    if not path:
        return NO_CREDENTIALS
    try:
        return load(Path(path))
    except HttpConfigError as error:
        raise UserError(f"{'--source-config' if file else SOURCE_CONFIG}: {error}") from error


def _checked(url: str, option: str) -> str:
    """Return a server's URL that holds nothing secret: sources are named in logs, on pages and in process lists."""
    try:
        parts = urlsplit(url)
        written = url.isprintable() and " " not in url
        whole = written and parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, whole = urlsplit(""), False
    if not whole:
        raise UserError(f"{option}: expected an address such as http://127.0.0.1:9090, got {_shown(url)!r}.")
    if "@" in parts.netloc:
        raise UserError(
            f"{option} {_shown(url)}: contains a password or user name. "
            "Write them as basic_auth into a file for --source-config."
        )
    if parts.query or parts.fragment:
        raise UserError(
            f"{option} {_shown(url)}: contains a query, which may be a secret. "
            "Remove it; write headers into a file for --source-config."
        )
    return url


def _shown(url: str) -> str:
    """Return an address without user, password and query."""
    return re.sub(r"[?#].*", "?...", re.sub(r"//.*@", "//...@", url), flags=re.DOTALL)[:200]

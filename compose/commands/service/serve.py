"""Run the SLO service."""

import argparse
import logging
import os
import re
from pathlib import Path

from plimsoll.compose.access import add_access, read_access
from plimsoll.compose.inputs import (
    UserError,
    add_prices,
    needed,
    read_address,
    read_objectives,
    read_prices,
)
from plimsoll.compose.listen import SERVICE_TOKEN, WEBHOOK_TOKEN, read_private, read_token
from plimsoll.compose.sources import add_source_config, read_source
from plimsoll.slo import links

EXTRA = "service"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--objectives",
        metavar="FILE",
        help="objectives file, read again at SIGHUP and when it changes (default: bundled file)",
    )
    parser.add_argument(
        "--source",
        required=True,
        metavar="SOURCE",
        help="prometheus:URL reads a Prometheus; scrape:URL[,URL...] scrapes exporters directly",
    )
    add_source_config(parser)
    parser.add_argument(
        "--db",
        default="sqlite:///plimsoll.db",
        metavar="URL",
        help="SQLAlchemy URL of the ledger (default: %(default)s)",
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help=f"address (default: %(default)s). Beyond loopback, {SERVICE_TOKEN}, {SERVICE_TOKEN}_FILE, or --token-file must hold a token, or --auth-proxy-header name a proxy's header.",
    )
    add_access(parser)
    _add_receivers(parser)
    parser.add_argument(
        "--grafana-url",
        metavar="URL",
        default=links.GRAFANA_URL,
        help="Grafana that runbooks link to (default: %(default)s)",
    )
    add_prices(parser)


def _add_receivers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--webhook-url",
        metavar="URL",
        help=f"POST every new recommendation there. {WEBHOOK_TOKEN} or {WEBHOOK_TOKEN}_FILE may hold a bearer token.",
    )
    parser.add_argument(
        "--pagerduty-key-file",
        metavar="FILE",
        help="file with a PagerDuty integration key (Events API v2): send change events of rollouts, exclusions, and scaling",
    )
    parser.add_argument(
        "--pagerduty-change-url",
        metavar="URL",
        default="https://events.pagerduty.com/v2/change/enqueue",
        help="where change events go (default: %(default)s; EU: events.eu.pagerduty.com)",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    spec, address = read_objectives(args.objectives), read_address(args.listen)
    source = read_source(args.source, args.source_config)
    access, webhook, prices = read_access(args), _webhook(args.webhook_url), read_prices(args.price_file)
    changes = _pagerduty(args.pagerduty_key_file, args.pagerduty_change_url)
    # Imported last: it takes 100 MiB, and input errors must be reported at once.
    needed("plimsoll.compose.serving", "service").serve(
        spec,
        (source, args.db, address),
        access,
        (webhook, changes),
        prices,
        (args.objectives, args.grafana_url.rstrip("/")),
    )
    return 0


def _webhook(url: str | None) -> tuple[str, str | None] | None:
    if url is None:
        return None
    if _check_url("--webhook-url", url, "https://ops.example/plimsoll"):
        raise UserError(f"--webhook-url: contains a password. Put it into {WEBHOOK_TOKEN} instead.")
    return url, read_token(os.environ, WEBHOOK_TOKEN)


def _pagerduty(path: str | None, url: str) -> tuple[str, str] | None:
    """Return the integration key and the URL; raises UserError."""
    if path is None:
        return None
    where = "--pagerduty-key-file"
    try:
        key = read_private(Path(path)).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{where}: {path} is not readable: {error}. Use a file with the key in its first line."
        ) from error
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error
    if not re.fullmatch("[A-Za-z0-9]{32}", key):
        raise UserError(
            f"{where}: {path} has no integration key of 32 characters. Copy it from PagerDuty's integration."
        )
    if _check_url("--pagerduty-change-url", url, "https://events.eu.pagerduty.com/v2/change/enqueue"):
        raise UserError("--pagerduty-change-url: contains a password. Leave it out.")
    return key, url


def _check_url(option: str, url: str, example: str) -> bool:
    """Return whether a URL contains a password; raises UserError where it isn't one."""
    import httpx  # noqa: PLC0415 - a fifth of a second that only these options need

    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise UserError(f"{option}: expected an address such as {example}, got {url!r}.")
    return bool(parsed.userinfo)

"""Run the SLO service."""

import argparse
import logging

from plimsoll.compose.access import add_access, read_access
from plimsoll.compose.inputs import (
    add_prices,
    needed,
    read_address,
    read_objectives,
    read_prices,
)
from plimsoll.compose.listen import SERVICE_TOKEN
from plimsoll.compose.outgoing.receivers import add_receivers, read_outgoing
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
    parser.add_argument(
        "--grafana-url",
        metavar="URL",
        default=links.GRAFANA_URL,
        help="Grafana that runbooks link to (default: %(default)s)",
    )
    add_prices(parser)
    add_receivers(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    spec, address = read_objectives(args.objectives), read_address(args.listen)
    source = read_source(args.source, args.source_config)
    access, outgoing, prices = read_access(args), read_outgoing(args), read_prices(args.price_file)
    # Imported last: it takes 100 MiB, and input errors must be reported at once.
    needed("plimsoll.compose.serving", "service").serve(
        spec,
        (source, args.db, address),
        access,
        outgoing,
        prices,
        (args.objectives, args.grafana_url.rstrip("/")),
    )
    return 0

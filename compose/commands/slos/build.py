"""Generate alert rules, Alertmanager config, and dashboards."""

import argparse
import sys
from pathlib import Path

from plimsoll import alerts, dashboards
from plimsoll.alerts.build import render as render_alerts
from plimsoll.alerts.build import render_kubernetes as render_kubernetes_alerts
from plimsoll.alerts.notify.receivers import PAGERDUTY, SECRETS_DIR, ReceiverError, Receivers
from plimsoll.alerts.notify.services import BY_NAME
from plimsoll.alerts.rules import Sites
from plimsoll.compose.inputs import UserError, read_objectives
from plimsoll.dashboards.build import render as render_dashboards
from plimsoll.dashboards.build import render_kubernetes as render_kubernetes_dashboards
from plimsoll.dashboards.infinity.example import files as infinity_files
from plimsoll.slo import links
from plimsoll.slo.spec.objectives import Spec

EXTRA = "build"

FOLDERS = {
    "alerts": Path(alerts.__file__).parent / "generated",
    "dashboards": Path(dashboards.__file__).parent / "generated",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_content(parser)
    parser.add_argument("--out", metavar="DIR", help="Output folder (default: the committed generated/ folders)")
    parser.add_argument(
        "--kubernetes",
        action="store_true",
        help="Also write DIR/alerts/kubernetes (PrometheusRule) and DIR/dashboards/kubernetes (ConfigMap). Requires --out.",
    )
    parser.add_argument(
        "--infinity",
        action="store_true",
        help="Also write DIR/dashboards/infinity: budgets and reviews through Grafana's Infinity data source. Requires --out.",
    )


def add_content(parser: argparse.ArgumentParser) -> None:
    """Declare what decides on the rules, dashboards and routing, for every command that writes them."""
    parser.add_argument("--objectives", metavar="FILE", help="Objectives file (default: bundled file)")
    parser.add_argument(
        "--no-meta-alerts",
        action="store_true",
        help="Leave out alerts on Prometheus and Alertmanager, where their own mixins are installed",
    )
    _add_receivers(parser.add_argument_group("receivers (Alertmanager reads secrets from files)"))
    parser.add_argument(
        "--service-url",
        metavar="URL",
        default=links.SERVICE_URL,
        help="SLO service URL for links (default: %(default)s)",
    )
    parser.add_argument(
        "--grafana-url", metavar="URL", default=links.GRAFANA_URL, help="Grafana URL for links (default: %(default)s)"
    )


def _add_receivers(group: "argparse._ArgumentGroup") -> None:
    known = f"{', '.join(BY_NAME)}, email:ADDRESS, or a webhook URL. Repeatable."
    group.add_argument(
        "--page-receiver",
        metavar="RECEIVER",
        action="append",
        help=f"Receiver of pages: {known} (default: {PAGERDUTY})",
    )
    group.add_argument(
        "--ticket-receiver",
        metavar="RECEIVER",
        action="append",
        help=f"Receiver of tickets: {known} (default: none; shown in Alertmanager only)",
    )
    group.add_argument(
        "--watchdog-url",
        metavar="URL",
        default="",
        help="Webhook of a dead man's switch, which pages when alerting stops",
    )
    group.add_argument(
        "--secrets-dir", metavar="DIR", default=SECRETS_DIR, help="Folder of the secret files (default: %(default)s)"
    )
    group.add_argument("--webhook-token", action="store_true", help="Send SECRETS_DIR/webhook-token to webhooks")
    group.add_argument("--smtp-relay", metavar="HOST:PORT", default="", help="Mail server of email:ADDRESS")
    group.add_argument("--email-from", metavar="ADDRESS", default="", help="Sender of email:ADDRESS")


def rendered(
    spec: Spec, sites: Sites | None = None, receivers: Receivers | None = None, *, meta_alerts: bool = True
) -> dict[str, dict[str, str]]:
    """Return every generated and committed file as {part: {file name: text}}."""
    sites = sites or Sites()
    return {
        "alerts": render_alerts(spec, sites, receivers, meta=meta_alerts),
        "dashboards": render_dashboards(spec, sites.service),
    }


def rendered_kubernetes(spec: Spec, sites: Sites, *, meta_alerts: bool = True) -> dict[str, dict[str, str]]:
    """Return the same rules and dashboards as Kubernetes objects, as {part: {file name: text}}."""
    return {
        "alerts": render_kubernetes_alerts(spec, sites, meta=meta_alerts),
        "dashboards": render_kubernetes_dashboards(spec, sites.service),
    }


def read_sites(args: argparse.Namespace) -> Sites:
    """Return the addresses of links."""
    return Sites(args.service_url.rstrip("/"), args.grafana_url.rstrip("/"))


def read_receivers(args: argparse.Namespace) -> Receivers:
    """Return where alerts go; raises UserError."""
    try:
        return Receivers(
            tuple(args.page_receiver or (PAGERDUTY,)),
            tuple(args.ticket_receiver or ()),
            args.watchdog_url,
            args.secrets_dir,
            args.webhook_token,
            smtp_relay=args.smtp_relay,
            email_from=args.email_from,
        )
    except ReceiverError as error:
        raise UserError(f"receivers: {error}.") from error


def run(args: argparse.Namespace) -> int:
    """Write every file, and remove generated files that are no longer rendered."""
    for name in ("kubernetes", "infinity"):
        if getattr(args, name) and args.out is None:
            raise UserError(f"--{name}: no folder to write to. Set --out DIR.")
    spec, receivers, meta = read_objectives(args.objectives), read_receivers(args), not args.no_meta_alerts
    sites = read_sites(args)
    twins = rendered_kubernetes(spec, sites, meta_alerts=meta) if args.kubernetes else {}
    if args.infinity:
        twins["dashboards"] = twins.get("dashboards", {}) | infinity_files()
    for part, files in rendered(spec, sites, receivers, meta_alerts=meta).items():
        files.update(twins.get(part, {}))
        folder = FOLDERS[part] if args.out is None else Path(args.out) / part
        try:
            write(folder, files)
        except OSError as error:
            raise UserError(f"{folder}: can't write: {error.strerror}. Use another folder with --out.") from error
        print(f"{folder}: {len(files)} files")
    for loss in receivers.lost():
        print(f"warning: {loss}", file=sys.stderr)
    return 0


def write(folder: Path, files: dict[str, str]) -> None:
    """Write the files, and remove others that lie in the folder; raises OSError."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in files:
            path.unlink()

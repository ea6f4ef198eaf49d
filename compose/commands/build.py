"""`plimsoll build`: write alert rules, Alertmanager configuration and dashboards from the objectives."""

import argparse
from pathlib import Path

from plimsoll import alerts, dashboards
from plimsoll.alerts.build import render as render_alerts
from plimsoll.alerts.build import render_kubernetes as render_kubernetes_alerts
from plimsoll.alerts.receivers import PAGERDUTY, SECRETS, SLACK, Receivers
from plimsoll.alerts.rules import Sites
from plimsoll.compose.inputs import UserError, read_objectives
from plimsoll.dashboards.build import render as render_dashboards
from plimsoll.dashboards.build import render_kubernetes as render_kubernetes_dashboards
from plimsoll.slo import links
from plimsoll.slo.spec.objectives import Spec

FOLDERS = {
    "alerts": Path(alerts.__file__).parent / "generated",
    "dashboards": Path(dashboards.__file__).parent / "generated",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("build", help="write rules, routing and dashboards", description=__doc__)
    parser.add_argument("--objectives", metavar="FILE", help="objectives file (default: the packaged one)")
    parser.add_argument("--out", metavar="DIR", help="folder to write to (default: the committed generated/ folders)")
    parser.add_argument(
        "--kubernetes",
        action="store_true",
        help="also write DIR/alerts/kubernetes (PrometheusRules) and DIR/dashboards/kubernetes (ConfigMaps); needs --out",
    )
    to = parser.add_argument_group("where alerts go (secrets are read by Alertmanager from files, never written)")
    to.add_argument("--pages", metavar="WHERE", default=PAGERDUTY, help="pagerduty, slack or a webhook's URL")
    to.add_argument("--tickets", metavar="WHERE", default="", help="the same; default: only Alertmanager's own page")
    to.add_argument("--watchdog", metavar="URL", default="", help="what raises the alarm when the watchdog goes silent")
    to.add_argument(
        "--secrets", metavar="DIR", default=SECRETS, help="folder of the secret files (default: %(default)s)"
    )
    to.add_argument("--webhook-token", action="store_true", help="send DIR/webhook-token with webhooks")
    to.add_argument(
        "--service-url", metavar="URL", default=links.SERVICE_URL, help="where people reach the SLO service"
    )
    to.add_argument("--grafana-url", metavar="URL", default=links.GRAFANA_URL, help="where people reach Grafana")
    parser.set_defaults(run=run)


def rendered(spec: Spec, sites: Sites | None = None, receivers: Receivers | None = None) -> dict[str, dict[str, str]]:
    """Return {part: {file name: text}} of everything that is generated and committed."""
    sites = sites or Sites()
    return {"alerts": render_alerts(spec, sites, receivers), "dashboards": render_dashboards(spec, sites.service)}


def rendered_kubernetes(spec: Spec, sites: Sites) -> dict[str, dict[str, str]]:
    """Return {part: {file name: text}} of the same rules and dashboards as Kubernetes objects."""
    return {
        "alerts": render_kubernetes_alerts(spec, sites),
        "dashboards": render_kubernetes_dashboards(spec, sites.service),
    }


def _receivers(args: argparse.Namespace) -> Receivers:
    ways = ("", PAGERDUTY, SLACK)
    for option, where, known in (
        ("pages", args.pages, ways),
        ("tickets", args.tickets, ways),
        ("watchdog", args.watchdog, ("",)),
    ):
        if where not in known and not where.startswith(("http://", "https://")):
            named = "".join(f"{way}, " for way in known if way)
            raise UserError(f"--{option} {where}: give {named}or a webhook's URL".replace("give or", "give"))
    return Receivers(args.pages, args.tickets, args.watchdog, args.secrets, args.webhook_token)


def run(args: argparse.Namespace) -> int:
    """Write every file, and remove generated files that no longer belong."""
    if args.kubernetes and args.out is None:
        raise UserError("--kubernetes: no folder to write to. Give one with --out DIR.")
    spec = read_objectives(args.objectives)
    sites = Sites(args.service_url.rstrip("/"), args.grafana_url.rstrip("/"))
    twins = rendered_kubernetes(spec, sites) if args.kubernetes else {}
    for part, files in rendered(spec, sites, _receivers(args)).items():
        files.update(twins.get(part, {}))
        folder = FOLDERS[part] if args.out is None else Path(args.out) / part
        try:
            _write(folder, files)
        except OSError as error:
            raise UserError(f"{folder}: cannot be written: {error.strerror}; give another folder with --out") from error
        print(f"{folder}: {len(files)} files")
    return 0


def _write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*"):
        if path.is_file() and str(path.relative_to(folder)) not in files:
            path.unlink()

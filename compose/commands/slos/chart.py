"""Write the Helm chart with the rules, dashboards, and routing of an objectives file.

Helm can't derive them from an objectives file, so they are files of the chart: `helm upgrade --install plimsoll DIR` installs them.
"""

import argparse
from pathlib import Path

from plimsoll.alerts.build import render as render_alerts
from plimsoll.alerts.build import render_alertmanager_config
from plimsoll.compose.commands.slos.build import add_content, read_receivers, read_sites
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES, UserError, read_objectives, read_text
from plimsoll.dashboards.build import boards

EXTRA = "build"

CHART = Path(__file__).parents[2] / "helm"
FILES = "files"  # the part of the chart that depends on the objectives


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_content(parser)
    parser.add_argument(
        "--out", metavar="DIR", help="Folder to write the chart to (default: renew the chart of this installation)"
    )


def rendered(args: argparse.Namespace) -> dict[str, str]:
    """Return the text of each file below FILES, by name; raises UserError."""
    spec, sites, receivers = read_objectives(args.objectives), read_sites(args), read_receivers(args)
    file = Path(args.objectives or DEFAULT_OBJECTIVES)
    alerts = render_alerts(spec, sites, receivers, meta=not args.no_meta_alerts)
    return {
        "objectives.yaml": read_text(file, str(file)),
        "alertmanager-config.yaml": render_alertmanager_config(spec, receivers, sites),
        **{f"rules/{name}": text for name, text in alerts.items() if name.endswith(".rules.yml")},
        **{f"dashboards/{name}": text for name, text in boards(spec, sites.service).items()},
    }


def templates() -> dict[str, str]:
    """Return the text of each file of the chart that doesn't depend on the objectives, by name."""
    found = {path.relative_to(CHART): path for path in CHART.rglob("*") if path.is_file()}
    return {str(name): path.read_text(encoding="utf-8") for name, path in found.items() if name.parts[0] != FILES}


def run(args: argparse.Namespace) -> int:
    """Write every file, and remove rules and dashboards that are no longer rendered."""
    files = {f"{FILES}/{name}": text for name, text in rendered(args).items()}
    folder = CHART if args.out is None else Path(args.out)
    try:
        _write(folder, files if args.out is None else templates() | files)
    except OSError as error:
        raise UserError(f"{folder}: can't write: {error.strerror}. Use another folder with --out.") from error
    print(f"{folder}: {len(files)} files of the objectives. Install: helm upgrade --install plimsoll {folder}")
    return 0


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write what lies in the folder; a clone's chart has links to the rules and dashboards, which `plimsoll build` renews."""
    root = folder.resolve()
    for name, text in files.items():
        path = folder / name
        if path.resolve().is_relative_to(root):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    for path in (folder / FILES).rglob("*"):
        if path.is_file() and path.resolve().is_relative_to(root) and str(path.relative_to(folder)) not in files:
            path.unlink()

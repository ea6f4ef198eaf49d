"""`plimsoll build`: write alert rules, Alertmanager configuration and dashboards from the objectives."""

import argparse
from pathlib import Path

import alerts
import dashboards
from alerts.build import render as render_alerts
from compose.inputs import UserError, read_objectives
from dashboards.build import render as render_dashboards
from slo.spec import Spec

FOLDERS = {
    "alerts": Path(alerts.__file__).parent / "generated",
    "dashboards": Path(dashboards.__file__).parent / "generated",
}


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("build", help="write rules, routing and dashboards", description=__doc__)
    parser.add_argument("--objectives", metavar="FILE", help="objectives file (default: the packaged one)")
    parser.add_argument("--out", metavar="DIR", help="folder to write to (default: the committed generated/ folders)")
    parser.set_defaults(run=run)


def rendered(spec: Spec) -> dict[str, dict[str, str]]:
    """Return {part: {file name: text}} of everything that is generated."""
    return {"alerts": render_alerts(spec), "dashboards": render_dashboards(spec)}


def run(args: argparse.Namespace) -> int:
    """Write every file, and remove generated files that no longer belong."""
    for part, files in rendered(read_objectives(args.objectives)).items():
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

"""Prepare the containers of compose.yaml: check secrets and engines, and write rules, routing, and dashboards.

Runs once before the other containers, with their user. Exits with status 2 and the fix in one line, so that none of them starts
with a secret that it can't read: Alertmanager would notice only when it must send the first page.
"""

import argparse
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from plimsoll.compose.commands.slos.build import add_content, read_receivers, read_sites, rendered, write
from plimsoll.compose.inputs import DEFAULT_OBJECTIVES, UserError, read_objectives, read_text
from plimsoll.slo.private_file import exposed

EXTRA = "build"

SECRETS = ("exporter-token", "tokens", "prometheus-token", "postgres-password", "grafana-password")
DEMO = "demo"
DEMO_ENGINES = ("demo-0=http://127.0.0.1:8100", "demo-1=http://127.0.0.1:8101")
_ENGINE = re.compile(r"(?:[^\s=]+=)?https?://[^\s'\"$`\\]+")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_content(parser)
    parser.add_argument(
        "--config",
        type=Path,
        required=True,
        metavar="DIR",
        help="Folder with objectives.yaml and engines: one [NAME=]URL a line",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="Folder that the containers share")
    parser.add_argument(
        "--profiles", default="", metavar="NAMES", help="Profiles of compose.yaml that are asked for, with commas"
    )


def run(args: argparse.Namespace) -> int:
    """Check and write; raises UserError."""
    check_secrets(Path(args.secrets_dir), SECRETS)
    receivers, sites = read_receivers(args), read_sites(args)
    if "pagerduty" in (*receivers.pages, *receivers.tickets):
        check_secrets(Path(args.secrets_dir), ["pagerduty-routing-key"])
    demo = DEMO in args.profiles.split(",")
    engines = read_engines(args.config / "engines", demo=demo)
    own = args.config / "objectives.yaml"
    objectives = DEFAULT_OBJECTIVES if demo and not own.exists() else own
    spec = read_objectives(str(objectives))
    try:
        for part, files in rendered(spec, sites, receivers, meta_alerts=not args.no_meta_alerts).items():
            write(args.out / part, files)
        shutil.copy(objectives, args.out / "objectives.yaml")
        (args.out / "engines").write_text("".join(f"--engine {engine}\n" for engine in engines), encoding="utf-8")
    except OSError as error:
        raise UserError(f"--out {args.out}: can't write: {error.strerror}. Use another folder.") from error
    print(f"{'SIMULATED engines' if demo else 'engines'}: {', '.join(engines)}; objectives: {len(spec.objectives)}")
    return 0


def check_secrets(folder: Path, names: Sequence[str]) -> None:
    """Raise UserError for a secret that is missing, empty, or can't be read, or that other users can read."""
    user = os.geteuid()
    for name in names:
        file = folder / name
        try:
            text, problem = file.read_text(encoding="utf-8").strip(), exposed(file)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"secret {name}: user {user} can't read it: {reason}. On the host: `sudo chown {user} {name} && sudo chmod 400 {name}`."
            ) from error
        if problem:
            raise UserError(f"secret {name}: other users can read it. On the host: `sudo chmod 400 {name}`.")
        if not text:
            raise UserError(f"secret {name}: empty. Write it in one line.")


def read_engines(file: Path, *, demo: bool) -> Sequence[str]:
    """Return the engines that a file names, or those of the demo; raises UserError for both, for none, and for a wrong line."""
    lines = read_text(file, str(file)).splitlines() if file.exists() else []
    found = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if demo and found:
        raise UserError(f"{file}: names engines, and the demo doesn't run beside real ones. Unset COMPOSE_PROFILES.")
    for line in found:
        if not _ENGINE.fullmatch(line):
            raise UserError(f"{file}: {line!r} isn't an engine. Write [NAME=]http://HOST:PORT, one a line.")
    if not found and not demo:
        raise UserError(f"{file}: no engine. Write [NAME=]http://HOST:PORT, one a line, or set COMPOSE_PROFILES=demo.")
    return found or DEMO_ENGINES

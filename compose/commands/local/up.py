"""Start the full stack locally (demo fleet by default)."""

import argparse
import shutil
import sys
import time
from pathlib import Path

from plimsoll.compose.commands.slos.build import rendered
from plimsoll.compose.demo.history.measure import replicas_of
from plimsoll.compose.inputs import DEMO_OBJECTIVES, UserError, read_objectives
from plimsoll.compose.live import starting
from plimsoll.compose.supervisor import (
    START_SECONDS,
    Part,
    Ports,
    configure_alertmanager,
    configure_prometheus,
    free_port,
    supervise,
)
from plimsoll.slo.spec.objectives import Spec

EXTRA = "service"

# -P: a folder named compose or slo where the user stands must not hide ours.
PLIMSOLL = [sys.executable, "-P", "-m", "plimsoll.compose.cli"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--engine",
        action="append",
        default=[],
        metavar="[NAME=]URL",
        help="engine to monitor, such as http://127.0.0.1:8000. Repeatable. (default: the simulated demo fleet)",
    )
    parser.add_argument(
        "--objectives",
        metavar="FILE",
        help="objectives file (default: with --engine, DIR/objectives.yaml, made for the models that are live; else the bundled file)",
    )
    parser.add_argument(
        "--data-dir", default="data", metavar="DIR", help="folder for ledger, logs and metrics (default: %(default)s)"
    )
    for name, port in vars(Ports()).items():
        parser.add_argument(f"--{name}-port", type=int, default=port, metavar="PORT", help=f"default: {port}")


def run(args: argparse.Namespace) -> int:
    """Start every part, print where to look, wait, and stop every part."""
    ports = Ports(**{name: getattr(args, f"{name}_port") for name in vars(Ports())})
    data = Path(args.data_dir).resolve()
    try:
        (data / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--data-dir {data}: can't be written: {error.strerror}. Choose another folder.") from error
    for name in ("exporter", "service"):
        if not free_port(getattr(ports, name)):
            raise UserError(f"port {getattr(ports, name)} is in use. Stop what listens there, or set --{name}-port.")
    if args.engine and not args.objectives:
        args.objectives = str(_starting_objectives(args.engine, data / "objectives.yaml"))
    demo = not args.engine and not args.objectives
    if demo:
        args.objectives = str(DEMO_OBJECTIVES)
    spec = read_objectives(args.objectives)
    if demo:
        _load_past(spec, f"sqlite:///{data / 'ledger.db'}")
    parts = [*_engines(args, spec), *_own_parts(args, spec, ports, data), *_optional_parts(spec, ports, data)]
    return supervise(parts, data / "logs", _addresses(args, ports, parts))


def _starting_objectives(engines: list[str], file: Path) -> Path:
    """Make the objectives file of some engines, or add to it the models that no pool names; print what was written."""
    try:
        series = starting.from_engines(engines, wait=0.0 if file.exists() else START_SECONDS)
    except UserError as error:
        if not file.exists():
            raise
        print(f"{file}: used as it is: {error}", flush=True)  # the engines start later
        return file
    found = starting.missing_from(file, series)
    if found:
        starting.write(file, starting.text_with(file, found))
        print(
            "\n".join([f"Starting objectives written to {file}. Check them there:", *starting.summary(found)]),
            flush=True,
        )
    return file


def _load_past(spec: Spec, database: str) -> None:
    """Give a new ledger the demo's simulated past."""
    from plimsoll.compose.databases import open_ledger  # noqa: PLC0415 - a second, which real engines don't need
    from plimsoll.compose.demo.history.load import store_history  # noqa: PLC0415 - as above
    from plimsoll.slo.ledger.slots import Ledger  # noqa: PLC0415 - as above

    began = time.monotonic()
    engine = open_ledger(database)
    try:
        ledger = Ledger(engine)
        if not ledger.recorded_until():
            store_history(spec, ledger, time.time())
            print(f"Five weeks of a SIMULATED past loaded in {time.monotonic() - began:.0f} s", flush=True)
    finally:
        engine.dispose()


def _simulated(args: argparse.Namespace, spec: Spec) -> dict[str, list[int]]:
    """Return the pools that the demo fleet simulates, each with its ports: all of the demo's own, the first of a given file."""
    if args.engine:
        return {}
    pools = spec.pools if args.objectives == str(DEMO_OBJECTIVES) else spec.pools[:1]
    ports, following = {}, args.demo_port
    for pool in pools:
        count = replicas_of(pool)
        ports[pool.name] = list(range(following, following + count))
        following += count
    return ports


def _engines(args: argparse.Namespace, spec: Spec) -> list[Part]:
    """Return the demo fleet, one part for each pool, where no real engine is given."""
    objectives = ["--objectives", args.objectives] if args.objectives else []
    return [
        Part(
            "demo" if index == 0 else f"demo-{name}",
            [*PLIMSOLL, "demo", "--pool", name, "--port", str(ports[0]), "--replicas", str(len(ports)), *objectives],
            f"http://127.0.0.1:{ports[0]}/health",
        )
        for index, (name, ports) in enumerate(_simulated(args, spec).items())
    ]


def _own_parts(args: argparse.Namespace, spec: Spec, ports: Ports, data: Path) -> list[Part]:
    """Return exporter and service."""
    simulated = [port for some in _simulated(args, spec).values() for port in some]
    engines = args.engine or [f"demo-{index}=http://127.0.0.1:{port}" for index, port in enumerate(simulated)]
    objectives = ["--objectives", args.objectives] if args.objectives else []
    exporter, service = f"127.0.0.1:{ports.exporter}", f"127.0.0.1:{ports.service}"
    flags = [flag for engine in engines for flag in ("--engine", engine)]
    gpu = [] if shutil.which("nvidia-smi") else ["--no-gpu"]
    source = f"scrape:http://{exporter}"
    database = f"sqlite:///{data / 'ledger.db'}"
    return [
        Part(
            "exporter",
            [*PLIMSOLL, "export", "--listen", exporter, *flags, *gpu, *objectives],
            f"http://{exporter}/-/healthy",
        ),
        Part(
            "service",
            [*PLIMSOLL, "serve", "--listen", service, "--source", source, "--db", database, *objectives],
            f"http://{service}/-/ready",
        ),
    ]


def _optional_parts(spec: Spec, ports: Ports, data: Path) -> list[Part]:
    """Return Prometheus and Alertmanager where their programs are found and their ports are free."""
    parts = []
    files = rendered(spec)["alerts"]
    for name, program in (("prometheus", "prometheus"), ("alertmanager", "prometheus-alertmanager")):
        path = shutil.which(program) or shutil.which(name)
        port = getattr(ports, name)
        if path is None:
            print(f"{name}: not installed, not started. On Debian: apt-get install {program}")
        elif not free_port(port):
            print(f"{name}: port {port} is in use, not started. Set --{name}-port.")
        else:
            configure = configure_prometheus if name == "prometheus" else configure_alertmanager
            parts.append(
                Part(name, configure(path, data, ports, files), f"http://127.0.0.1:{port}/-/ready", required=False)
            )
    return parts


def _addresses(args: argparse.Namespace, ports: Ports, parts: list[Part]) -> list[str]:
    started = {part.name for part in parts}
    lines = [
        f"SLOs and capacity     http://127.0.0.1:{ports.service}/",
        f"API                   http://127.0.0.1:{ports.service}/api/v1/slos",
        f"exporter metrics      http://127.0.0.1:{ports.exporter}/metrics",
    ]
    if "prometheus" in started:
        lines.append(f"Prometheus            http://127.0.0.1:{ports.prometheus}/alerts")
    if "alertmanager" in started:
        lines.append(f"Alertmanager          http://127.0.0.1:{ports.alertmanager}/")
    if not args.engine:
        lines.append('The fleet is SIMULATED. For real engines: make run ENGINES="http://host:8000 ..."')
    return lines

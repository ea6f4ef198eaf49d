"""`plimsoll export`: one node's engine and GPU numbers as one normalized metrics page."""

import argparse
import logging
import os
import ssl
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from plimsoll.compose.inputs import UserError, read_address, read_objectives
from plimsoll.compose.listen import EXPORTER_TOKEN, PROBE_TOKEN, open_socket, read_token
from plimsoll.exporters.collector import Collector
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.gc_tuning import freeze_objects, limit_memory
from plimsoll.exporters.gpu_assignment import GpuAssignment
from plimsoll.exporters.nvml.collector import NvmlCollector
from plimsoll.exporters.nvml.state import GpuState, StateError
from plimsoll.exporters.runner import Runner
from plimsoll.exporters.server import Tls, create_app, serve
from plimsoll.slo.units import Duration


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "export", help="serve one node's engine and GPU metrics as one normalized page", description=__doc__
    )
    parser.add_argument(
        "--engine",
        action="append",
        default=[],
        metavar="[NAME=]URL",
        help="an engine on this node, such as http://127.0.0.1:8000; NAME becomes the label replica (repeatable)",
    )
    parser.add_argument("--no-gpu", action="store_true", help="this node has no NVIDIA GPU to watch")
    parser.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder that keeps expected GPUs, XID counts and counts of clients that left across restarts; without it they begin again",
    )
    parser.add_argument(
        "--probe",
        action="append",
        default=[],
        metavar="[NAME=]URL",
        help=f"an OpenAI-compatible server to probe with short chats; {PROBE_TOKEN} or {PROBE_TOKEN}_FILE may give a token (repeatable)",
    )
    parser.add_argument("--probe-model", metavar="NAME", help="the model that probes ask")
    parser.add_argument("--probe-every", default="30s", metavar="TIME", help="(%(default)s)")
    parser.add_argument("--otlp", metavar="URL", help="push the same numbers to an OTLP receiver (HTTP), too")
    parser.add_argument("--otlp-every", default="15s", metavar="TIME", help="(%(default)s)")
    parser.add_argument("--objectives", metavar="FILE", help="objectives file (default: the packaged one)")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:9800",
        metavar="HOST:PORT",
        help=f"address (default: %(default)s); beyond loopback {EXPORTER_TOKEN} or {EXPORTER_TOKEN}_FILE must give a token, asked for as bearer token or password",
    )
    parser.add_argument(
        "--tls-cert", type=Path, metavar="FILE", help="serve HTTPS with this certificate (PEM, with its chain)"
    )
    parser.add_argument(
        "--tls-key", type=Path, metavar="FILE", help="the certificate's private key (PEM, no passphrase)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; raises UserError."""
    limit_memory()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if args.objectives:
        read_objectives(args.objectives)
    interval = _seconds("--otlp-every", args.otlp_every)
    if args.state:
        _make_folder(args.state)
    gpu_state = None if args.no_gpu else _gpu_state(args.state)
    runner = Runner(collectors(args.engine, _probes(args), gpu_state, args.state))
    host, port = read_address(args.listen)
    token, tls = read_token(os.environ, EXPORTER_TOKEN), _tls(args.tls_cert, args.tls_key)
    listening = open_socket(host, port, token, EXPORTER_TOKEN)
    port = listening.getsockname()[1]
    scheme, shown = "https" if tls else "http", f"[{host}]" if ":" in host else host
    logging.getLogger("plimsoll").info("metrics on %s://%s:%d/metrics", scheme, shown, port)
    if args.otlp:
        _push(runner, args.otlp, interval)
    app = create_app(runner, token)
    freeze_objects()
    serve(app, listening, tls)
    return 0


def _tls(certificate: Path | None, key: Path | None) -> Tls | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UserError("--tls-cert and --tls-key belong together: give both")
    try:
        # Without a passphrase to give, a key that asks for one would stop the start at a prompt.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"--tls-cert {certificate} --tls-key {key}: cannot be used: {why}") from error
    return Tls(certificate, key)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--state {folder}: {error.strerror}; choose a folder that can be written to") from error


def _push(runner: Runner, url: str, interval: float) -> None:
    try:
        from plimsoll.exporters.otlp import Pusher  # noqa: PLC0415 - needs the extra, which most nodes have not
    except ModuleNotFoundError as error:
        raise UserError(f"--otlp needs the package {error.name!r}: pip install 'plimsoll-slo[otel]'") from error
    Pusher(runner, url, interval).start()


def _probes(args: argparse.Namespace) -> list[Collector]:
    if not args.probe:
        return []
    if not args.probe_model:
        raise UserError("--probe: which model shall it ask? give --probe-model NAME")
    from plimsoll.exporters.probe import ProbeCollector  # noqa: PLC0415 - 4 MiB of HTTP client that most nodes do not need

    token, interval = read_token(os.environ, PROBE_TOKEN), _seconds("--probe-every", args.probe_every)
    try:
        return [ProbeCollector(target, args.probe_model, interval, token) for target in args.probe]
    except ValueError as error:
        raise UserError(str(error)) from error


def _gpu_state(folder: Path | None) -> GpuState:
    try:
        return GpuState(folder)
    except StateError as error:
        raise UserError(str(error)) from error


def _seconds(option: str, text: str) -> float:
    try:
        return Duration.parse(text)
    except ValueError as error:
        raise UserError(f"{option}: {error}") from error


def collectors(
    engines: Sequence[str], probes: Sequence[Collector], gpu_state: GpuState | None, state: Path | None
) -> list[Collector]:
    """Return what there is to watch, GPUs only with a memory for them; raises UserError for an address that is none, for a name used twice and for nothing."""
    try:
        served = [EngineCollector(engine, state) for engine in engines]
    except ValueError as error:
        raise UserError(str(error)) from error
    found: list[Collector] = [*served, *probes]
    for name, uses in Counter(collector.name for collector in found).items():
        if uses > 1:
            option, _, given = name.partition(":")
            raise UserError(f"--{option}: {given} is given {uses} times; give each its own NAME=")
    if gpu_state is not None:
        found.append(NvmlCollector(gpu_state, assignment=GpuAssignment(served)))
    if not found:
        raise UserError("nothing to export: give --engine http://HOST:PORT, or leave out --no-gpu")
    return found

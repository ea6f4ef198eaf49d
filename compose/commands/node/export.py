"""Run the node exporter."""

import argparse
import logging
import os
import ssl
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plimsoll.compose.engine_tokens import add_tokens, engine_collectors
from plimsoll.compose.inputs import UserError, read_address, read_objectives
from plimsoll.compose.listen import (
    EXPORTER_TOKEN,
    PROBE_TOKEN,
    add_allowed_hosts,
    open_socket,
    read_hosts,
    read_token,
    server_token,
)
from plimsoll.compose.reload import ObjectivesFile
from plimsoll.exporters.collector import Collector
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.gc_tuning import freeze_objects, limit_memory
from plimsoll.exporters.gpu_assignment import GpuAssignment
from plimsoll.exporters.gpu_page import gpus_route
from plimsoll.exporters.nvml.collector import AMD, NVIDIA, VENDORS, GpuCollector, Vendor
from plimsoll.exporters.nvml.state import GpuState, StateError
from plimsoll.exporters.nvml.xids.kernel_log import KMSG, KernelLog
from plimsoll.exporters.runner import Runner
from plimsoll.exporters.server import Health, Tls, create_app, serve
from plimsoll.slo import metrics

if TYPE_CHECKING:
    from plimsoll.exporters.discovery.watch import DiscoveredEngines

OTLP_SECONDS = 15.0
AMD_COMPUTE, NVIDIA_DRIVER = Path("/dev/kfd"), Path("/proc/driver/nvidia")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--engine",
        action="append",
        default=[],
        metavar="[NAME=]URL[#ROLE]",
        help="Engine or gateway, such as http://127.0.0.1:8000. NAME becomes the label `replica`; ROLE is prefill or decode, where its page and command line don't state it. Repeatable.",
    )
    add_tokens(parser)
    parser.add_argument(
        "--discover",
        action="append",
        default=[],
        metavar="WHAT",
        help="Find engines while they come and go: `processes` of this machine (GPU processes and known server commands), `kubernetes` (pods of the node NODE_NAME), `docker` (containers), or `file:PATH`, a list in Prometheus' file_sd format. Repeatable.",
    )
    parser.add_argument("--no-gpu", action="store_true", help="Don't read GPUs: this node has none.")
    parser.add_argument(
        "--gpu-vendor",
        choices=tuple(VENDORS),
        help="Maker of the node's GPUs (default: amd if the kernel has AMD's compute device and not NVIDIA's driver, else nvidia).",
    )
    parser.add_argument(
        "--kernel-log",
        default=str(KMSG),
        metavar="FILE",
        help="Kernel log with the XIDs that NVML doesn't report (default: %(default)s). `none`: don't read it.",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help="Folder that stores expected GPUs, XID counts, starts and derived counts of engines across restarts. Without it they restart at 0.",
    )
    _add_probe(parser)
    _add_output(parser)


def _add_probe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--probe",
        action="append",
        default=[],
        metavar="[NAME=]URL",
        help=f"OpenAI-compatible server to send test requests to. Set {PROBE_TOKEN} or {PROBE_TOKEN}_FILE if it requires a token. Repeatable.",
    )
    parser.add_argument("--probe-model", metavar="NAME", help="Model to request in probes.")
    parser.add_argument(
        "--probe-interval", default="30s", metavar="TIME", help="Time between two probes (default: %(default)s)."
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--otlp-endpoint", metavar="URL", help="Also push the metrics to this OTLP receiver (HTTP).")
    parser.add_argument("--otlp-interval", metavar="TIME", help="Time between two pushes (default: 15s).")
    parser.add_argument(
        "--objectives",
        metavar="FILE",
        help=f"Objectives file to validate at startup, at SIGHUP, and when it changes. {metrics.RELOAD_SUCCESSFUL} has the result.",
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1:9800",
        metavar="HOST:PORT",
        help=f"Address to listen on (default: %(default)s). Any address but loopback requires a token in {EXPORTER_TOKEN} or {EXPORTER_TOKEN}_FILE; clients send it as bearer token or password.",
    )
    add_allowed_hosts(parser)
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="Certificate (PEM, with its chain): serve HTTPS.")
    parser.add_argument(
        "--tls-key", type=Path, metavar="FILE", help="Private key of the certificate (PEM, no passphrase)."
    )


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; raises UserError."""
    limit_memory()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    objectives = _objectives(args.objectives)
    interval = _seconds("--otlp-interval", args.otlp_interval) if args.otlp_interval is not None else OTLP_SECONDS
    if args.state_dir:
        _make_folder(args.state_dir)
    gpu_state = None if args.no_gpu else _gpu_state(args.state_dir)
    vendor = VENDORS[args.gpu_vendor] if args.gpu_vendor else _vendor()
    served = engine_collectors(args.engine, args.engine_token, args.state_dir)
    discovered = _discovered(args, served)
    found = [*collectors(served, _probes(args), gpu_state, discovered, vendor), *objectives]
    runner = Runner(found, lambda: (*discovered.collectors, *discovered.groups) if discovered else ())
    host, port = read_address(args.listen)
    token, hosts = server_token(os.environ, EXPORTER_TOKEN), read_hosts(args.allowed_host)
    tls = _tls(args.tls_cert, args.tls_key)
    listening = open_socket(host, port, token, EXPORTER_TOKEN)
    port = listening.getsockname()[1]
    scheme, shown = "https" if tls else "http", f"[{host}]" if ":" in host else host
    logging.getLogger("plimsoll").info("metrics on %s://%s:%d/metrics", scheme, shown, port)
    if args.otlp_endpoint:
        _push(runner, args.otlp_endpoint, interval)
    gpus = next((one for one in found if isinstance(one, GpuCollector)), None)
    health = Health()
    if gpus is not None and gpu_state is not None:
        _start_gpus(gpus, gpu_state, args.kernel_log, has_engines=bool(args.engine or args.discover))
        health = Health(lambda: gpus.trouble, [gpus_route(gpus.board, runner)])
    app = create_app(runner, token, hosts, health)
    if discovered is not None:
        discovered.start()
    for one in objectives:
        one.start()
    freeze_objects()
    serve(app, listening, tls)
    return 0


def _objectives(path: str | None) -> list[ObjectivesFile]:
    """Return the objectives file, validated, where one is given; raises UserError."""
    if path is None:
        return []
    read_objectives(path)
    return [ObjectivesFile(path)]


def _vendor() -> Vendor:
    return AMD if AMD_COMPUTE.exists() and not NVIDIA_DRIVER.exists() else NVIDIA


def _start_gpus(gpus: GpuCollector, state: GpuState, kernel_log: str, *, has_engines: bool) -> None:
    """Follow the kernel's log, and state in one line what GPUs aren't joined with."""
    if kernel_log != "none":
        KernelLog(state, Path(kernel_log)).start()
    why = gpus.assignment.unjoined_because()
    if why and has_engines:
        logging.getLogger("plimsoll").warning("GPUs are not joined to replicas because %s", why)


def _tls(certificate: Path | None, key: Path | None) -> Tls | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise UserError("--tls-cert and --tls-key: only one is set. Set both.")
    try:
        # An empty password: a key with a passphrase would otherwise stop the startup at a prompt.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
        raise UserError(
            f"--tls-cert {certificate} --tls-key {key}: not usable: {why}. Use a certificate and its key, both PEM, without a passphrase."
        ) from error
    return Tls(certificate, key)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--state-dir {folder}: {error.strerror}. Use a writable folder.") from error


def _push(runner: Runner, url: str, interval: float) -> None:
    try:
        from plimsoll.exporters.otlp import Pusher  # noqa: PLC0415 - needs an extra that most nodes lack
    except ModuleNotFoundError as error:
        raise UserError(
            f"--otlp-endpoint requires the package {error.name!r}. Run `pip install 'plimsoll-slo[otel]'`."
        ) from error
    Pusher(runner, url, interval).start()


def _probes(args: argparse.Namespace) -> list[Collector]:
    if not args.probe:
        return []
    if not args.probe_model:
        raise UserError("--probe requires --probe-model NAME.")
    from plimsoll.exporters.probe import ProbeCollector  # noqa: PLC0415 - 4 MiB of HTTP client that most nodes do not need

    token, interval = read_token(os.environ, PROBE_TOKEN), _seconds("--probe-interval", args.probe_interval)
    try:
        return [ProbeCollector(target, args.probe_model, interval, token) for target in args.probe]
    except ValueError as error:
        raise UserError(str(error)) from error


def _gpu_state(folder: Path | None) -> GpuState:
    try:
        return GpuState(folder)
    except StateError as error:
        raise UserError(str(error)) from error


def _discovered(args: argparse.Namespace, served: Sequence[EngineCollector]) -> "DiscoveredEngines | None":
    if not args.discover:
        return None
    from plimsoll.compose.discovery import discovered_engines  # noqa: PLC0415 - 2 MiB that most nodes do not need

    return discovered_engines(args.discover, served, args.state_dir)


def _seconds(option: str, text: str) -> float:
    from plimsoll.slo.units import Duration  # noqa: PLC0415 - 1 MiB of decimal arithmetic that most nodes do not need

    try:
        return Duration.parse(text)
    except ValueError as error:
        raise UserError(f"{option}: {error}") from error


def collectors(
    served: Sequence[EngineCollector],
    probes: Sequence[Collector],
    gpu_state: GpuState | None,
    discovered: "DiscoveredEngines | None",
    vendor: Vendor = NVIDIA,
) -> list[Collector]:
    """Return the collectors; GPUs are read if `gpu_state` is given. Raises UserError for a duplicate name, or no collector."""
    found: list[Collector] = [*served, *probes]
    for name, uses in Counter(collector.name for collector in found).items():
        if uses > 1:
            option, _, given = name.partition(":")
            raise UserError(f"--{option}: {given} is given {uses} times. Give each its own NAME=.")
    if gpu_state is not None:
        assignment = GpuAssignment(served, others=lambda: discovered.collectors if discovered else ())
        # First, as it then waits for another process, which reads while this one parses the engines' pages.
        found.insert(0, GpuCollector(gpu_state, assignment=assignment, vendor=vendor))
    if not found and discovered is None:
        raise UserError("--engine: nothing to export. Add --engine http://HOST:PORT, or remove --no-gpu.")
    return found

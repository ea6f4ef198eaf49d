"""Running the stack's parts as child processes on loopback: configuration, supervision, a clean end."""

import ctypes
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.error import URLError
from urllib.request import urlopen

import yaml

START_SECONDS = 120.0
END_SECONDS = 10.0
# Labels of the targets, by which dashboards are narrowed.
HERE = {"exporter": {"region": "local", "node": "this-machine"}, "service": {}}


@dataclass(frozen=True, slots=True)
class Part:
    """A program to run: its name, its argument list, and the URL that answers once it is up."""

    name: str
    argv: list[str]
    ready: str
    required: bool = True


@dataclass(frozen=True)
class Ports:
    """Loopback ports of the local stack; demo is the first of one port per simulated replica."""

    exporter: int = 9800
    service: int = 8080
    prometheus: int = 9090
    alertmanager: int = 9093
    demo: int = 8100


def free_port(port: int) -> bool:
    """Whether nothing listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def configure_prometheus(program: str, data: Path, ports: Ports, files: dict[str, str]) -> list[str]:
    """Write Prometheus' configuration and rules under `data`; return its command line."""
    folder = data / "prometheus"
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    rules = {name: text for name, text in files.items() if name.endswith(".rules.yml") and "/" not in name}
    for name, text in rules.items():
        (folder / "rules" / name).write_text(text, encoding="utf-8")
    job = {name: f"127.0.0.1:{getattr(ports, name)}" for name in ("exporter", "service")}
    config = {
        "global": {"scrape_interval": "5s", "scrape_timeout": "4s", "evaluation_interval": "15s"},
        "rule_files": [str(folder / "rules" / name) for name in rules],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{ports.alertmanager}"]}]}]},
        "scrape_configs": [
            {"job_name": f"plimsoll-{name}", "static_configs": [{"targets": [target], "labels": HERE[name]}]}
            for name, target in job.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{ports.prometheus}",
        "--log.level=warn",
    ]


def configure_alertmanager(program: str, data: Path, ports: Ports, files: dict[str, str]) -> list[str]:
    """Write Alertmanager's configuration under `data`; return its command line."""
    folder = data / "alertmanager"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alertmanager.yml").write_text(files["alertmanager.yml"], encoding="utf-8")
    return [
        program,
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'state'}",
        f"--web.listen-address=127.0.0.1:{ports.alertmanager}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]


def supervise(parts: Sequence[Part], logs: Path, where: Sequence[str]) -> int:
    """Run all parts until SIGINT, SIGTERM or SIGHUP (0) or until a required one ends by itself (1); no child outlives this process."""
    stop = threading.Event()

    def ask_to_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for part in parts:
            with (logs / f"{part.name}.log").open("ab") as log:
                # Its own session, so that a Ctrl-C reaches us alone and we end the parts in order.
                children[part.name] = subprocess.Popen(
                    part.argv,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has one thread
                )
        status = _watch(parts, children, logs, where, stop)
    finally:
        _end(list(reversed(children.items())))
        for number, handler in before.items():
            signal.signal(number, handler)
    return status


def _end_with_parent() -> None:
    """Ask the kernel for a SIGTERM when the parent ends, however it ends (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _watch(
    parts: Sequence[Part],
    children: dict[str, subprocess.Popen[bytes]],
    logs: Path,
    where: Sequence[str],
    stop: threading.Event,
) -> int:
    waiting, ended = {part.name: part for part in parts}, set()
    deadline = time.monotonic() + START_SECONDS
    print(f"Starting {', '.join(waiting)}. Logs: {logs}", flush=True)
    while not stop.wait(0.3):
        for part in parts:
            status = children[part.name].poll()
            if status is not None and part.name not in ended:
                ended.add(part.name)
                print(f"{part.name} exited with status {status}. See {logs / part.name}.log.", flush=True)
                if part.required:
                    return 1
                waiting.pop(part.name, None)
        for name in [name for name, part in waiting.items() if _responds(part.ready)]:
            print(f"  {name} is up", flush=True)
            del waiting[name]
            if not waiting:
                print("\n".join(["", *where, "Press Ctrl-C to stop."]), flush=True)
        if waiting and time.monotonic() > deadline:
            print(f"{', '.join(waiting)} not ready within {START_SECONDS:.0f} s. See {logs}.", flush=True)
            return 1
    print("\nStopping.", flush=True)
    return 0


def _responds(url: str) -> bool:
    try:
        with urlopen(url, timeout=1) as answer:  # noqa: S310 - our own loopback URLs
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _end(children: Sequence[tuple[str, "subprocess.Popen[bytes]"]]) -> None:
    for _, child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + END_SECONDS
    for name, child in children:
        try:
            child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            print(f"{name} doesn't stop; killed.", flush=True)
            child.kill()
            child.wait()

"""Everything that a chaos run runs: fleet, exporters, stores behind proxies, services, Alertmanager and PagerDuty."""

import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import yaml

import chaos_config as config
from children import Child, until
from fault_proxy import FaultProxy
from late_relay import LateRelay
from pagerduty import PagerDuty
from postgresql import binary, unprivileged
from process import PLIMSOLL
from stack import free_port, require
from truth_fleet import Engine, Fleet
from truth_slots import Seen

REQUESTS_PER_SECOND = 4  # of each replica
START_SECONDS = 90.0
DISK_MIB = 48
FAKETIME = "/usr/lib/*/faketime/libfaketimeMT.so.1"
PROMETHEUS, VICTORIA, POSTGRES, ALERTMANAGER = "prometheus", "victoria", "postgres", "alertmanager"


class Mark(NamedTuple):
    """A time (Unix seconds) in which a source lost samples (`loss`), read targets twice (`twice`) or gave no whole answer (`blind`)."""

    source: str
    what: str
    begin: float
    end: float


@dataclass
class World:
    """What runs. `services` maps a service's name to its URL; `reads` to the store that it reads."""

    folder: Path
    fleet: Fleet
    exporters: dict[str, str]
    children: dict[str, Child] = field(default_factory=dict)
    services: dict[str, str] = field(default_factory=dict)
    proxies: dict[str, FaultProxy] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    rules: list[Path] = field(default_factory=list)
    extra: dict[str, dict[str, Any]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    disk: Path | None = None
    clock: Path | None = None
    pagerduty: PagerDuty = field(default_factory=PagerDuty)
    started: float = field(default_factory=time.time)
    down: set[str] = field(
        default_factory=set
    )  # children that a fault holds down; any other that ends is started again
    marks: list[Mark] = field(default_factory=list)
    remembered: dict[str, list[Seen]] = field(default_factory=dict)  # by store: what it held before it lost some
    problems: list[str] = field(default_factory=list)

    @property
    def relay(self) -> LateRelay:
        """The relay of late pages, made when it is first needed."""
        if not hasattr(self, "_relay"):
            self._relay = LateRelay(self.exporters)
        return self._relay

    def configure_prometheus(self) -> None:
        """Write Prometheus' configuration, and have it read if it runs."""
        services = [url.removeprefix("http://") for url in self.services.values()]
        own = {"job_name": "service", "static_configs": [{"targets": services}]}
        extra = [own, *self.extra.values()]
        path = self.folder / "prometheus.yml"
        config.prometheus(path, self.exporters, extra, self.rules, self.urls[ALERTMANAGER])
        with contextlib.suppress(httpx.HTTPError):
            httpx.post(f"{self.urls[PROMETHEUS]}/-/reload", timeout=5, trust_env=False)

    def not_ready(self) -> dict[str, str]:
        """What isn't ready, with what a service says of it."""
        found = {}
        for name, child in self.children.items():
            if not child.is_ready():
                found[name] = _reason(child) if child.running() else "it does not run"
        return found

    def database(self) -> str:
        """The URL of the services' common database."""
        return f"postgresql://plimsoll@/ledger?host={self.folder / 'pg'}"


def _reason(child: Child) -> str:
    try:
        answer = httpx.get(child.ready, timeout=3, trust_env=False)
        return f"{answer.status_code} {answer.text[:300]}"
    except httpx.HTTPError as error:
        return f"no answer: {error}"


@contextlib.contextmanager
def running(seed: int) -> Iterator[World]:
    """Start everything; all of it ends with the block."""
    with tempfile.TemporaryDirectory(prefix="chaos-") as name, contextlib.ExitStack() as stack:
        world = _world(Path(name), seed)
        stack.enter_context(world.pagerduty)
        stack.callback(_end, world)
        _places(world)
        _stores(world, seed)
        _database(world)
        _services(world)
        world.fleet.start()
        for child in world.children.values():
            child.start()
        if not until(lambda: not world.not_ready(), START_SECONDS):
            raise RuntimeError(f"the stack did not start: {world.not_ready()}")
        yield world


def _world(folder: Path, seed: int) -> World:
    folder.chmod(0o755)
    names = [f"{pool}-{number}" for number in (1, 2) for pool in config.POOLS]
    engines = {name: Engine(name, name.split("-")[0], seed * 100 + index) for index, name in enumerate(names)}
    for engine in engines.values():
        engine.cache = 0.1 if engine.pool == config.CALM else 0.6
    exporters = {f"exporter-{number}": f"127.0.0.1:{free_port()}" for number in (1, 2)}
    world = World(folder, Fleet(engines, REQUESTS_PER_SECOND), exporters)
    for name, address in exporters.items():
        own = [one for one in engines.values() if one.name.endswith(name[-1])]
        arguments = [part for one in own for part in ("--engine", f"{one.name}={one.url}")]
        argv = [*PLIMSOLL, "export", "--no-gpu", "--listen", address, *arguments]
        world.children[name] = Child(name, argv, folder, f"http://{address}/metrics")
    return world


def _places(world: World) -> None:
    """A small disk and a clock of its own, where this machine allows it."""
    (world.folder / "sqlite").mkdir()
    if os.geteuid() == 0 and ctypes.CDLL(None).unshare(0x20000) == 0:  # CLONE_NEWNS: the mount ends with this process
        subprocess.run(["mount", "--make-rprivate", "/"], check=False, capture_output=True)
        size = f"size={DISK_MIB}m"
        mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(world.folder / "sqlite")]
        if subprocess.run(mount, check=False, capture_output=True).returncode == 0:
            world.disk = world.folder / "sqlite"
    if world.disk is None:
        world.skipped.append("full disk (needs root and a mount)")
    if next(iter(Path("/").glob(FAKETIME.lstrip("/"))), None):
        world.clock = world.folder / "clock"
        world.clock.write_text("+0\n")
    else:
        world.skipped.append("clock jump (needs Debian's package faketime)")


def _stores(world: World, seed: int) -> None:
    """Prometheus and Alertmanager; VictoriaMetrics where it is installed."""
    world.urls = {name: f"http://127.0.0.1:{free_port()}" for name in (PROMETHEUS, ALERTMANAGER, VICTORIA)}
    world.rules, routes = config.write_rules(world.folder, "http://127.0.0.1:8080", world.pagerduty.url)
    listen = {name: url.removeprefix("http://") for name, url in world.urls.items()}
    data = {name: world.folder / f"{name}-data" for name in world.urls}
    argv = {
        PROMETHEUS: [
            *(require("prometheus"), f"--config.file={world.folder / 'prometheus.yml'}"),
            *(f"--storage.tsdb.path={data[PROMETHEUS]}", f"--web.listen-address={listen[PROMETHEUS]}"),
            *("--web.enable-lifecycle", "--web.enable-admin-api", "--log.level=warn"),
        ],
        ALERTMANAGER: [
            *(require("prometheus-alertmanager"), f"--config.file={routes}", f"--storage.path={data[ALERTMANAGER]}"),
            *(f"--web.listen-address={listen[ALERTMANAGER]}", "--cluster.listen-address=", "--log.level=warn"),
        ],
    }
    ready = dict.fromkeys((PROMETHEUS, ALERTMANAGER), "/-/ready") | {VICTORIA: "/health"}
    if shutil.which("victoria-metrics"):
        path = world.folder / "victoria.yml"
        path.write_text(yaml.safe_dump(config.scrapes(world.exporters, [])))
        argv[VICTORIA] = [
            *("victoria-metrics", f"-storageDataPath={data[VICTORIA]}", f"-httpListenAddr={listen[VICTORIA]}"),
            *(f"-promscrape.config={path}", "-memory.allowedBytes=128MiB", "-loggerLevel=WARN"),
        ]
    else:
        world.skipped.append("everything on VictoriaMetrics (needs Debian's package victoria-metrics)")
    for name, words in argv.items():
        world.children[name] = Child(name, words, world.folder, world.urls[name] + ready[name])
    world.proxies = {name: FaultProxy(world.urls[name], seed) for name in (PROMETHEUS, VICTORIA) if name in argv}


def _database(world: World) -> None:
    """A PostgreSQL of our own, as a child that can be killed, with an empty database."""
    folder, user = world.folder / "pg", unprivileged()
    folder.mkdir()
    if user is not None:
        os.chown(folder, user, -1)
    make: list[str | Path] = [
        binary("initdb"),
        "-D",
        folder / "data",
        "-U",
        "plimsoll",
        "--auth=trust",
        "--no-sync",
        "-E",
        "UTF8",
    ]
    subprocess.run([*make, "--locale=C"], user=user, cwd=folder, check=True, capture_output=True)
    settings = [f"unix_socket_directories={folder}", "listen_addresses=", "fsync=off"]
    argv: list[str | Path] = [
        binary("postgres"),
        "-D",
        folder / "data",
        *(word for one in settings for word in ("-c", one)),
    ]
    child = world.children[POSTGRES] = Child(POSTGRES, argv, world.folder, user=user)
    child.start()
    if not until(lambda: _create(folder), 30):
        raise RuntimeError(f"PostgreSQL did not start: {child.log.read_text()}")


def _create(folder: Path) -> bool:
    try:
        with psycopg.connect(host=str(folder), user="plimsoll", dbname="postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE ledger")
    except psycopg.OperationalError:
        return False
    return True


def _services(world: World) -> None:
    """Two services on PostgreSQL, one that scrapes by itself, and one on VictoriaMetrics."""
    objectives = world.folder / "objectives.yaml"
    objectives.write_text(config.OBJECTIVES)
    scraped = "scrape:" + ",".join(f"http://{address}" for address in world.exporters.values())
    sources = {
        "first": (f"prometheus:{world.proxies[PROMETHEUS].url}", world.database()),
        "second": (f"prometheus:{world.proxies[PROMETHEUS].url}", world.database()),
        "embedded": (scraped, f"sqlite:///{world.folder / 'sqlite' / 'ledger.db'}"),
    }
    if VICTORIA in world.proxies:
        sources["on-victoria"] = (
            f"prometheus:{world.proxies[VICTORIA].url}",
            f"sqlite:///{world.folder / 'victoria.db'}",
        )
    for name, (source, database) in sources.items():
        world.services[name] = f"http://127.0.0.1:{free_port()}"
        listen = world.services[name].removeprefix("http://")
        argv: list[str | Path] = [*PLIMSOLL, "serve", "--objectives", objectives, "--source", source, "--db", database]
        env = _own_clock(world.clock) if name == "second" and world.clock else None
        world.children[name] = Child(
            name, [*argv, "--listen", listen], world.folder, f"{world.services[name]}/-/ready", env
        )
    world.configure_prometheus()


def _own_clock(clock: Path) -> dict[str, str]:
    library = next(iter(Path("/").glob(FAKETIME.lstrip("/"))))
    names = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(library), "DONT_FAKE_MONOTONIC": "1", **names}


def _end(world: World) -> None:
    """End everything, services before what they read."""
    world.fleet.end()
    enders = [threading.Thread(target=child.end, kwargs={"patience": 5}) for child in reversed(world.children.values())]
    for one in enders:
        one.start()
    for one in enders:
        one.join()
    for proxy in world.proxies.values():
        proxy.close()
    if "_relay" in vars(world):
        world.relay.close()
    if world.disk is not None:
        subprocess.run(["umount", "-l", str(world.disk)], check=False, capture_output=True)


def sources(world: World) -> dict[str, str]:
    """Where each service's samples are: its own database, or the store that it reads."""
    found = {"first": PROMETHEUS, "second": PROMETHEUS, "embedded": "embedded", "on-victoria": VICTORIA}
    return {name: found[name] for name in world.services}

"""The faults of a chaos run: how each begins and how it ends."""

import contextlib
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import httpx

import chaos_config as config
import observed
from chaos_stack import POSTGRES, PROMETHEUS, VICTORIA, Mark, World
from fault_proxy import MODES

EMBEDDED, SECOND = "embedded", "second"
JUMPS = cycle(("+3d", "-2h", "+45m", "-40s"))
VICTORIA_FLUSHES = 10.0  # seconds: a killed VictoriaMetrics loses what it holds in memory for so long


@dataclass(frozen=True)
class Kind:
    """A kind of fault. `targets` names what it may hit here, `seconds` how long it lasts; `blinds`: no whole answer meanwhile."""

    name: str
    targets: Callable[[World], Sequence[str]]
    seconds: tuple[float, float]
    begin: Callable[[World, str], None]
    end: Callable[[World, str], None]
    blinds: bool = False


def _children(world: World) -> list[str]:
    return list(world.children)


def _but_database(world: World) -> list[str]:
    return [name for name in world.children if name != POSTGRES]


def _only(*names: str, if_: Callable[[World], object] = bool) -> Callable[[World], list[str]]:
    return lambda world: list(names) if if_(world) else []


def _fall(number: int) -> Callable[[World, str], None]:
    """Return how to end a child by a signal."""

    def begin(world: World, name: str) -> None:
        world.down.add(name)
        if name == VICTORIA and number == signal.SIGKILL:
            _remember(world, VICTORIA)
            now = time.time()
            world.marks.append(Mark(VICTORIA, "loss", now - VICTORIA_FLUSHES, now))
        world.children[name].end(number)

    return begin


def _rise(world: World, name: str) -> None:
    world.down.discard(name)
    world.children[name].start()


def _send(number: int) -> Callable[[World, str], None]:
    return lambda world, name: world.children[name].send(number)


def _remember(world: World, store: str) -> None:
    """Keep what a store holds, since it will lose some of it."""
    read = observed.in_prometheus if store == PROMETHEUS else observed.in_victoria
    with contextlib.suppress(httpx.HTTPError):
        world.remembered.setdefault(store, []).extend(read(world.urls[store], world.started))


def _engines(world: World) -> list[str]:
    return list(world.fleet.engines)


def _kill_engine(world: World, name: str) -> None:
    world.fleet.engines[name].kill()


def _start_engine(world: World, name: str) -> None:
    world.fleet.engines[name].start()


def _hang(world: World, name: str) -> None:
    world.fleet.engines[name].hung.set()


def _wake(world: World, name: str) -> None:
    world.fleet.engines[name].hung.clear()


def _spoil(mode: str) -> Callable[[World, str], None]:
    def set_mode(world: World, name: str) -> None:
        world.proxies[name].mode = mode

    return set_mode


def _scrape_too(name: str, added: bool) -> Callable[[World, str], None]:
    """Return how to add a scrape job to Prometheus, or to take it away."""

    def change(world: World, _: str) -> None:
        if added:
            world.extra[name] = (
                config.again(world.exporters) if name == "again" else config.late(world.exporters, world.relay.url)
            )
        else:
            del world.extra[name]
        world.configure_prometheus()

    return change


def _fill(world: World, _: str) -> None:
    """Fill the disk of the embedded service's database to the last byte."""
    assert world.disk is not None
    with contextlib.suppress(OSError), (world.disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 16))


def _empty(world: World, _: str) -> None:
    assert world.disk is not None
    (world.disk / "ballast").unlink()


def _delete(world: World, name: str) -> None:
    """Save the embedded service's database, and delete it under the running service."""
    path = _ledger(world)
    with (
        contextlib.closing(sqlite3.connect(path)) as live,
        contextlib.closing(sqlite3.connect(world.folder / "saved.db")) as copy,
    ):
        live.backup(copy)
    for file in path.parent.glob("ledger.db*"):
        file.unlink()


def _bring_back(world: World, name: str) -> None:
    """Expect the service to have noticed; bring the saved database back as an operator would."""
    url, body = world.services[name], {"from": "2020-01-01T00:00:00Z", "to": "2020-01-01T01:00:00Z", "reason": "chaos"}
    with contextlib.suppress(httpx.HTTPError):
        if httpx.get(f"{url}/-/ready", timeout=5, trust_env=False).is_success:
            world.problems.append("the embedded service was ready a minute after its database was deleted")
        if httpx.post(f"{url}/api/v1/exclusions", json=body, timeout=5, trust_env=False).is_success:
            world.problems.append("an exclusion was accepted into a deleted database")
    world.down.add(name)
    world.children[name].end(signal.SIGKILL)
    for file in _ledger(world).parent.glob("ledger.db*"):
        file.unlink()
    shutil.copy(world.folder / "saved.db", _ledger(world))
    _rise(world, name)


def _ledger(world: World) -> Path:
    return world.folder / "sqlite" / "ledger.db"


def _jump(world: World, _: str) -> None:
    _set_clock(world, next(JUMPS))


def _jump_back(world: World, _: str) -> None:
    _set_clock(world, "+0")


def _set_clock(world: World, offset: str) -> None:
    assert world.clock is not None
    new = world.clock.with_suffix(".new")
    new.write_text(f"{offset}\n")
    new.replace(world.clock)


def _snapshot(world: World, name: str) -> None:
    """Take a snapshot of Prometheus' data."""
    answer = httpx.post(f"{world.urls[name]}/api/v1/admin/tsdb/snapshot", timeout=30, trust_env=False)
    answer.raise_for_status()
    saved = world.folder / "snapshot"
    shutil.rmtree(saved, ignore_errors=True)
    (world.folder / f"{name}-data" / "snapshots" / answer.json()["data"]["name"]).rename(saved)
    world.marks.append(Mark(name, "snapshot", time.time(), time.time()))


def _restore(world: World, name: str) -> None:
    """Put the snapshot in the place of the data: what came since is lost."""
    taken = max(mark.begin for mark in world.marks if mark.what == "snapshot")
    _remember(world, name)
    world.down.add(name)
    world.children[name].end(signal.SIGKILL)
    data = world.folder / f"{name}-data"
    shutil.rmtree(data)
    (world.folder / "snapshot").rename(data)
    world.marks.append(Mark(name, "loss", taken - config.SCRAPE_SECONDS, time.time()))
    _rise(world, name)


def _has_disk(world: World) -> object:
    return world.disk


def _has_clock(world: World) -> object:
    return world.clock


BLINDING = [mode for mode in MODES if mode not in ("slow", "absurd")]
KINDS = [
    Kind("SIGKILL", _children, (2, 20), _fall(signal.SIGKILL), _rise, blinds=True),
    Kind("SIGSTOP and SIGCONT", _but_database, (8, 75), _send(signal.SIGSTOP), _send(signal.SIGCONT), blinds=True),
    Kind("restart", _but_database, (1, 3), _fall(signal.SIGTERM), _rise, blinds=True),
    Kind("database: immediate stop", _only(POSTGRES), (2, 15), _fall(signal.SIGQUIT), _rise),
    Kind("engine killed", _engines, (2, 40), _kill_engine, _start_engine),
    Kind("engine hung", _engines, (5, 60), _hang, _wake),
    *(
        Kind(
            f"store answers: {mode}", lambda w: list(w.proxies), (8, 40), _spoil(mode), _spoil("pass"), mode in BLINDING
        )
        for mode in MODES
    ),
    Kind("targets in two jobs", _only(PROMETHEUS), (15, 60), _scrape_too("again", True), _scrape_too("again", False)),
    Kind("late samples", _only(PROMETHEUS), (25, 60), _scrape_too("late", True), _scrape_too("late", False)),
    Kind("old TSDB restored", _only(PROMETHEUS), (15, 50), _snapshot, _restore),
    Kind("disk full", _only(EMBEDDED, if_=_has_disk), (5, 30), _fill, _empty),
    Kind("database file deleted", _only(EMBEDDED), (62, 66), _delete, _bring_back),
    Kind("clock jump", _only(SECOND, if_=_has_clock), (12, 40), _jump, _jump_back),
]
BY_NAME = {kind.name: kind for kind in KINDS}

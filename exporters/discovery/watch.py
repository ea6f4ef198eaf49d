"""Keeps a collector for each engine that a discovery finds, while engines come and go.

An engine that is taken off a list, and a pod that is deleted, left on purpose: it is off the page at once. A process or container that ended may have been stopped or may have
crashed, and /proc has no record of which. It is reported as down for LEFT_SECONDS, in which a supervisor restarts a crashed one at the same address,
and then it is off the page: LLMReplicaDown takes longer, so an engine that was stopped causes no page. One that crashed for good
is missed by LLMReplicasBelowMinimum, as a pool's other lost replicas are.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Sequence

from plimsoll.exporters.collector import Collector, CollectorError
from plimsoll.exporters.discovery import Discovery, DiscoveryError, Target
from plimsoll.exporters.engines.collector import EngineCollector
from plimsoll.exporters.engines.fetch import reason_of
from plimsoll.exporters.log_once import OnceLogger

LOOK_SECONDS = 10.0
LEFT_SECONDS = 240.0  # less than the 5 minutes of LLMReplicaDown
READ_SECONDS = 3.0  # for the page of an address that may be an engine's
# Seconds until an address that answered, and not with an engine's page, is read again. One that doesn't answer yet is read at each look.
AGAIN = (10.0, 20.0, 30.0, 60.0, 120.0)

Make = Callable[[Target], EngineCollector]
logger = logging.getLogger(__name__)


class DiscoveredEngines:
    """The engines that are there now. `look` is called by one thread; `collectors` may be read by any."""

    def __init__(
        self,
        discoveries: Sequence[Discovery],
        make: Make,
        named: Collection[EngineCollector] = (),
        clock: Callable[[], float] = time.monotonic,
        groups: Sequence[Collector] = (),
    ) -> None:
        """`make` returns a target's collector or raises ValueError; `named` are those that exist without discovery, `groups` what
        the discoveries found beside engines.
        """
        self.groups = groups
        self.collectors: tuple[EngineCollector, ...] = ()
        self._discoveries, self._make, self._clock = discoveries, make, clock
        self._taken = {one.replica for one in named} | {_place(one) for one in named}
        self._once = OnceLogger(logger)
        self._listed: dict[str, list[Target]] = {}
        self._found: dict[str, tuple[Target, EngineCollector]] = {}
        self._missing: dict[str, float] = {}
        self._tried: dict[str, tuple[int, float]] = {}

    def start(self) -> None:
        """Look once now, and from then on by a thread of its own."""
        self.look()
        threading.Thread(target=self._run, name="discovery", daemon=True).start()

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception as error:  # the engines found so far are read on
                self._once.failed("discovery", f"{type(error).__name__}: {error}")
            else:
                self._once.recovered("discovery")

    def look(self) -> None:
        """Ask every discovery, take new engines in and leave others out. Where a discovery fails, its last list holds."""
        for one in self._discoveries:
            try:
                self._listed[one.name] = one.find()
            except DiscoveryError as error:
                self._once.failed(f"discovery {one.name}", f"{error} The engines found before are still read.")
            else:
                self._once.recovered(f"discovery {one.name}")
        listed = {target.url: target for targets in self._listed.values() for target in targets}
        for url in [url for url in self._tried if url not in listed]:
            del self._tried[url]
        for target in listed.values():
            self._missing.pop(target.url, None)
            if target.url not in self._found or self._found[target.url][0] != target:
                self._take(target)
        for url in [url for url in self._found if url not in listed]:
            self._leave(url)
        self.collectors = tuple(collector for _, collector in self._found.values())

    def _take(self, target: Target) -> None:
        count, due = self._tried.get(target.url, (0, -1.0))
        if self._clock() < due:
            return
        try:
            collector = self._make(target)
            others = {one for url, (_, one) in self._found.items() if url != target.url}
            if {collector.replica, _place(collector)} & (self._taken | {one.replica for one in others}):
                self._once.failed(f"engine {target.url}", f"{collector.replica} is read already. Give it another name.")
                return
            if not target.certain:
                collector.collect(time.monotonic() + READ_SECONDS)
        except (CollectorError, ValueError) as error:
            if target.certain:
                self._once.failed(f"engine {target.url}", str(error))
            if not isinstance(error, CollectorError) or reason_of(error) not in ("unreachable", "timeout"):
                self._tried[target.url] = count + 1, self._clock() + AGAIN[min(count, len(AGAIN) - 1)]
            return
        self._tried.pop(target.url, None)
        self._found[target.url] = target, collector
        logger.info("engine found: %s at %s", collector.replica, target.url)

    def _leave(self, url: str) -> None:
        target, collector = self._found[url]
        since = self._missing.setdefault(url, self._clock())
        if not target.lingers or self._clock() - since >= LEFT_SECONDS:
            del self._found[url], self._missing[url]
            logger.info("engine left: %s at %s", collector.replica, url)


def _place(collector: EngineCollector) -> str:
    host = "127.0.0.1" if collector.server.host == "localhost" else collector.server.host
    return f"{host}:{collector.server.port}"

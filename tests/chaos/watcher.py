"""Reads the services' recommendations, and the health of Prometheus' rules, while the faults go on."""

import contextlib
import threading
import time
from datetime import datetime
from typing import NamedTuple

import httpx

from chaos_config import POOLS
from chaos_stack import PROMETHEUS, World

EVERY_SECONDS = 3.0


class Advice(NamedTuple):
    """One recommendation of a service: made at a time of its clock, first read at a time of ours."""

    service: str
    pool: str
    at: float
    read: float
    action: str


class Watcher:
    """A thread that reads until it is stopped."""

    def __init__(self, world: World) -> None:
        self.advice: dict[tuple[str, str, float], Advice] = {}
        self.rule_errors: set[str] = set()
        self._world, self._done = world, threading.Event()
        self._client = httpx.Client(timeout=2, trust_env=False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        turn = 0
        while not self._done.wait(EVERY_SECONDS):
            turn += 1
            for service, url in self._world.services.items():
                with contextlib.suppress(httpx.HTTPError):
                    self._read(service, url)
            if turn % 4 == 0:
                with contextlib.suppress(httpx.HTTPError):
                    self._read_rules()

    def _read(self, service: str, url: str) -> None:
        for pool in POOLS:
            answer = self._client.get(f"{url}/api/v1/pools/{pool}/recommendation")
            if answer.is_success:
                body = answer.json()
                at = datetime.fromisoformat(body["at"]).timestamp()
                new = Advice(service, pool, at, time.time(), body["action"])
                self.advice.setdefault((service, pool, at), new)

    def _read_rules(self) -> None:
        groups = self._client.get(f"{self._world.urls[PROMETHEUS]}/api/v1/rules").json()["data"]["groups"]
        for rule in (rule for group in groups for rule in group["rules"]):
            if rule["health"] == "err":
                self.rule_errors.add(f"{rule['name']}: {rule['lastError'][:200]}")

    def stop(self) -> None:
        """Stop reading."""
        self._done.set()
        self._thread.join()
        self._client.close()

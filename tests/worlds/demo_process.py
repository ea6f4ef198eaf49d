"""The demo fleet as a process on two free ports, with requests to its replicas."""

import subprocess
import sys
from pathlib import Path

import httpx

from demo_page import MODEL, value
from plimsoll.exporters.engines.parser import parse
from stack import free_port, wait_for


class Demo:
    """A running demo fleet of two replicas."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()  # and the next one
        self._log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(_command(self.port, 2), stdout=file, stderr=subprocess.STDOUT)
        wait_for(lambda: self._up(0) and self._up(1), "both replicas to answer")

    def _up(self, replica: int) -> bool:
        assert self.process.poll() is None, self.said()
        try:
            return self.get("/health", replica).status_code == 200
        except httpx.TransportError:
            return False

    def said(self) -> str:
        return self._log.read_text()

    def url(self, replica: int = 0) -> str:
        return f"http://127.0.0.1:{self.port + replica}"

    def get(self, path: str, replica: int = 0) -> httpx.Response:
        return httpx.get(self.url(replica) + path, trust_env=False, timeout=30)

    def ask(self, path: str, **body: object) -> httpx.Response:
        return httpx.post(self.url() + path, json={"model": MODEL, **body}, trust_env=False, timeout=30)

    def answered(self, path: str, status: str, replica: int = 0) -> float:
        return value(parse(self.get("/metrics", replica).text), "http_requests_total", handler=path, status=status)


def _command(port: int, replicas: int) -> list[str]:
    options = ["--port", str(port), "--replicas", str(replicas)]
    return [sys.executable, "-m", "plimsoll.compose.cli", "demo", *options]

"""The real Prometheus and Alertmanager on free loopback ports.

Each is a context manager: it starts the binary with its data in a temporary folder, waits until it is ready, and ends it.
`stop` and `start` in between keep port and data, so that a test can take one away for a while.
"""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import httpx
import pytest
import yaml

from newer import newer

DEBIAN_PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "chromium": "chromium",
    "victoria-metrics": "victoria-metrics",
}
T = TypeVar("T")


def require(binary: str) -> str:
    """Path of a binary; skips the test with the Debian package to install where it is absent."""
    path = shutil.which(binary)
    if path is None:
        pytest.skip(f"{binary} is not installed; Debian has it in the package {DEBIAN_PACKAGES[binary]}")
    return path


def versions(binary: str) -> list[str]:
    """Paths of every version of a binary at hand: the installed one, and the newer one where it was fetched (newer.py)."""
    return [require(binary), *(str(path) for path in (newer(binary),) if path)]


def promtool_test(tests: Sequence[Path], paths: Sequence[str]) -> None:
    """Run files of rule tests on each promtool in parallel; fail with the output of those that failed."""
    runs = {
        path: subprocess.Popen(
            [path, "test", "rules", *map(str, tests)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for path in paths
    }
    outputs = {path: run.communicate()[0] for path, run in runs.items()}
    failed = [f"{path}:\n{outputs[path]}" for path, run in runs.items() if run.returncode]
    if failed:
        pytest.fail("\n".join(failed))


def tool(binary: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run promtool or amtool to its end; its exit code and output are the caller's to evaluate."""
    return subprocess.run([require(binary), *map(str, arguments)], capture_output=True, text=True, check=False)


# Each worker of a parallel run has ports of its own, and gives out every second one, for a test that needs two neighbors.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_OWN = range(20_000 + 2 * _WORKER, 32_000, 2 * int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
_ports = iter(random.sample(_OWN, len(_OWN)))


def free_port() -> int:
    """A TCP port on loopback without a listener, given out once.

    Below the range from which the kernel takes ports for outgoing connections, so that it stays free until it is used.
    """
    for port in _ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port on loopback")


def wait_for(condition: Callable[[], T], what: str, seconds: float = 60) -> T:
    """Poll until `condition` gives something true and return it; fails with `what` and the last value otherwise."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:g} s in vain for {what}; last value {value!r}")
        time.sleep(0.05)
    return value


class Sample(NamedTuple):
    """One series of an instant query."""

    labels: dict[str, str]
    value: float


class Series(NamedTuple):
    """One series of a range query; points are (Unix seconds, value)."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


class Server:
    """A real server process on one loopback port."""

    def __init__(self, binary: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._path = require(binary)
        self._folder = tempfile.TemporaryDirectory(prefix=f"{binary}-")
        self.folder = Path(self._folder.name)
        self._process: subprocess.Popen[bytes] | None = None

    def arguments(self) -> list[str]:
        """Command line after the binary."""
        raise NotImplementedError

    @property
    def log(self) -> str:
        """What the process wrote so far."""
        return (self.folder / "log").read_text(errors="replace")

    def start(self) -> None:
        """Start the process and return once it is ready; fails with its log where it ends first."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._path, *self.arguments()], stdout=log, stderr=log, cwd=self.folder)
        wait_for(self._ready, f"{self._path} to be ready")

    def _ready(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            pytest.fail(f"{self._path} ended before it was ready:\n{self.log[-3000:]}")
        try:
            return httpx.get(f"{self.url}/-/ready", timeout=1).is_success
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """End the process; its data stays for the next start."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._folder.cleanup()

    def _get(self, path: str, **parameters: Any) -> Any:
        given = {name: value for name, value in parameters.items() if value is not None}
        answer = httpx.get(f"{self.url}{path}", params=given, timeout=30)
        if not answer.is_success:
            pytest.fail(f"{path} {given}: {answer.status_code} {answer.text}")
        return answer.json()


def scrape(job: str, *addresses: str, **labels: str) -> dict[str, Any]:
    """One scrape job for addresses like `127.0.0.1:9800`, with target labels such as node."""
    return {"job_name": job, "static_configs": [{"targets": list(addresses), "labels": labels}]}


class Prometheus(Server):
    """A real Prometheus; `interval` is both the scrape and the evaluation interval, `rules` are paths of rule files."""

    def __init__(
        self,
        *scrapes: Mapping[str, Any],
        rules: Sequence[Path] = (),
        alertmanager: str | None = None,
        interval: str = "1s",
    ) -> None:
        super().__init__("prometheus")
        every = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
        config: dict[str, Any] = {
            "global": every,
            "rule_files": [str(path.resolve()) for path in rules],
            "scrape_configs": [dict(one) for one in scrapes],
        }
        if alertmanager is not None:
            address = alertmanager.removeprefix("http://")
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]}
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def arguments(self) -> list[str]:
        """Loopback only, and `POST /-/reload` allowed."""
        return [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--web.enable-lifecycle",
        ]

    def query(self, promql: str, at: float | None = None) -> list[Sample]:
        """Instant query, at a Unix time or now; a scalar comes back as one sample without labels."""
        data = self._get("/api/v1/query", query=promql, time=at)["data"]
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(one["metric"], float(one["value"][1])) for one in data["result"]]

    def query_range(self, promql: str, start: float, end: float, step: float) -> list[Series]:
        """Range query between two Unix times, step in seconds."""
        data = self._get("/api/v1/query_range", query=promql, start=start, end=end, step=step)["data"]
        return [Series(one["metric"], [(at, float(value)) for at, value in one["values"]]) for one in data["result"]]

    def series(self, *matchers: str) -> list[dict[str, str]]:
        """Label sets of the series that match any of the selectors."""
        found: list[dict[str, str]] = self._get("/api/v1/series", **{"match[]": list(matchers)})["data"]
        return found

    def targets(self) -> list[dict[str, Any]]:
        """Active targets with health and lastError."""
        active: list[dict[str, Any]] = self._get("/api/v1/targets", state="active")["data"]["activeTargets"]
        return active

    def rule_groups(self) -> list[dict[str, Any]]:
        """Rule groups with each rule's health and lastError."""
        groups: list[dict[str, Any]] = self._get("/api/v1/rules")["data"]["groups"]
        return groups

    def alerts(self) -> list[dict[str, Any]]:
        """Pending and firing alerts."""
        alerts: list[dict[str, Any]] = self._get("/api/v1/alerts")["data"]["alerts"]
        return alerts


class Alertmanager(Server):
    """A real Alertmanager with the given configuration text, alone (no cluster)."""

    def __init__(self, config: str) -> None:
        super().__init__("prometheus-alertmanager")
        (self.folder / "alertmanager.yml").write_text(config)

    def arguments(self) -> list[str]:
        """Loopback only; an empty cluster address switches gossip off."""
        return [
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--cluster.listen-address=",
        ]

    def alerts(self) -> list[dict[str, Any]]:
        """Alerts held now, with status (active or suppressed, inhibitedBy) and receivers."""
        alerts: list[dict[str, Any]] = self._get("/api/v2/alerts")
        return alerts

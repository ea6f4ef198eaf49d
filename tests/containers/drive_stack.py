"""`make containers`: builds the image, starts compose.yaml for real, drives it, and stops it, on a plain Debian machine (as root).

The objectives are a file of its own, two stand-ins of engines serve a recorded page, and each step that fails ends it with status 1.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from container_engine import ROOT, Containers, missing, podman_compose

HERE = Path(__file__).parent
PAGE = ROOT / "tests" / "fixtures" / "vllm-0.32.0-load.prom"
# Of the page's requests, in each round: those with a first token, and those of them within 600 ms.
TOTAL, GOOD = 67, 64
OBJECTIVES = """version: plimsoll/v1
pools:
  - name: own-pool
    model: meta-llama/Llama-3.3-70B-Instruct
    node: {gpu: H100-80GB, gpus: 2, replicas: 1}
    nodes: {min: 1, max: 4}
    max_waiting_per_node: 20
objectives:
  - {id: own-ttft, pool: own-pool, indicator: {time_to_first_token: 600ms}, target: 95%, window: 28d}
"""
SERVICES = ("prepare", "exporter", "postgres", "prometheus", "alertmanager", "service")  # Debian has no Grafana
PORTS = {"exporter": 9800, "service": 8080, "prometheus": 9090, "alertmanager": 9093}
SECRETS = ("exporter-token", "prometheus-token", "postgres-password", "grafana-password", "pagerduty-routing-key")
T = TypeVar("T")


class Stack:
    """compose.yaml with a configuration of its own, outside the clone."""

    def __init__(self, containers: Containers, clone: Path, config: Path) -> None:
        self.containers, self.clone, self.config = containers, clone, config
        self.ports = self._publish_elsewhere(clone / "compose" / "compose.yaml")
        self.variables = {
            "PLIMSOLL_CONFIG": str(config),
            "PLIMSOLL_RECEIVERS": "--page-receiver http://pager:9000/page",
            "COMPOSE_PROFILES": "",
        }
        self.values = {name: secrets.token_hex(32) for name in SECRETS}

    def _publish_elsewhere(self, file: Path) -> dict[str, int]:
        """Publish on free ports, since others may use the usual ones; returns service -> port."""
        text, ports = file.read_text(), {}
        for service, port in PORTS.items():
            with socket.create_server(("127.0.0.1", 0)) as free:
                ports[service] = free.getsockname()[1]
            text = text.replace(f'"127.0.0.1:{port}:{port}"', f'"127.0.0.1:{ports[service]}:{port}"')
        file.write_text(text)
        return ports

    def configure(self) -> None:
        """Write objectives, engines and secrets, which the containers' user alone can read."""
        (self.config / "secrets").mkdir(parents=True)
        (self.config / "targets").mkdir()
        (self.config / "objectives.yaml").write_text(OBJECTIVES)
        (self.config / "engines").write_text("# two engines\na=http://engine-a:8000\nb=http://engine-b:8000\n")
        made = subprocess.run(
            (ROOT / ".venv/bin/plimsoll", "token", "prometheus", "read"), capture_output=True, text=True, check=True
        )
        self.values["prometheus-token"] = made.stderr.split()[-1]
        for name, value in {**self.values, "tokens": made.stdout}.items():
            file = self.config / "secrets" / name
            file.write_text(f"{value.strip()}\n")
            file.chmod(0o400)
            os.chown(file, 65534, 65534)
        self.config.chmod(0o755)

    def compose(self, *arguments: str, check: bool = True, **variables: str) -> str:
        """Output of podman-compose."""
        tool: tuple[str | Path, ...] = (podman_compose(), "--podman-path", self.containers.folder / "podman")
        command = (*tool, "-f", "compose/compose.yaml", *arguments)
        return self.containers.run(*command, cwd=self.clone, check=check, **(self.variables | variables))

    def container(self, service: str) -> str:
        """Name of a service's container."""
        return f"plimsoll_{service}_1"

    def stand_in(self, name: str, script: str, *arguments: str) -> None:
        """Start a stand-in beside the stack."""
        mounts = [word for file in (HERE / script, PAGE) for word in ("--volume", f"{file}:/opt/{file.name}:ro")]
        started = ("run", "--detach", "--name", name, "--network", "plimsoll_default", *mounts, "localhost/debian:1")
        self.containers.podman(*started, "python3", f"/opt/{script}", *arguments)

    def get(self, service: str, path: str, token: str = "") -> Any:
        """Return what a service serves, as JSON where it is, None while it doesn't answer."""
        url = f"http://127.0.0.1:{self.ports[service]}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.URLError):
            return None
        return json.loads(text) if text.startswith(("{", "[")) else text


def step(text: str) -> None:
    """Print what has been shown."""
    print(f"{time.monotonic() - STARTED:6.0f} s  {text}", flush=True)


def wait_for(condition: Callable[[], T], what: str, seconds: float) -> T:
    """Return the first true value; ends the program where there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(1)
    sys.exit(f"no {what} within {seconds:.0f} s")


def require(holds: bool, what: str) -> None:
    """End the program unless it holds."""
    if not holds:
        sys.exit(f"wrong: {what}")
    step(what)


def clone_with_canaries(folder: Path, canary: str) -> Path:
    """Return a repository of the files as they are now, with secrets where a build could take them in."""
    clone = folder / "clone"
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, text=True, check=True)
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    for command in (("init", "--quiet"), ("add", "--all", "--force")):
        subprocess.run(("git", *command), cwd=clone, check=True)
    for name in (".env", "compose/secrets/exporter-token", "slo/token.txt", "slo/data/secret.yaml"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(canary)
    return clone


def refusals(stack: Stack) -> None:
    """Show that Alertmanager doesn't start with a secret that it can't read."""
    key = stack.config / "secrets" / "pagerduty-routing-key"
    os.chown(key, 0, 0)
    stack.compose("up", "-d", *SERVICES, check=False, PLIMSOLL_RECEIVERS="")
    said = stack.containers.logs(stack.container("prepare"))
    running = stack.containers.podman("ps", "--format", "{{.Names}}").split()
    os.chown(key, 65534, 65534)
    stack.compose("down", "--volumes", check=False)
    require(stack.container("alertmanager") not in running, "a secret of another user: Alertmanager doesn't start")
    require(
        "secret pagerduty-routing-key: user 65534 can't read it" in said,
        f"the reason is in the log of `prepare`: {said}",
    )


def drive(stack: Stack) -> None:
    """Show that budgets are counted from the two engines alone, and that a page is delivered."""

    def up(query: str) -> list[dict[str, Any]]:
        found = stack.get("prometheus", f"/api/v1/query?query={query}")
        return found["data"]["result"] if found else []

    def both() -> list[dict[str, Any]]:
        return up("llm_replica_up") if len(up("llm_replica_up==1")) > 1 else []

    found = wait_for(both, "two engines in Prometheus", 180)
    replicas = sorted(one["metric"]["replica"] for one in found)
    require(replicas == ["a", "b"], f"Prometheus has the two engines and no other: {replicas}")
    rules = stack.get("prometheus", "/api/v1/rules")["data"]["groups"]
    bad = [(rule["name"], rule["lastError"]) for group in rules for rule in group["rules"] if rule["health"] == "err"]
    own = [group["name"] for group in rules if group["name"].startswith("plimsoll-objective-")]
    require(
        (bad, own) == ([], ["plimsoll-objective-own-ttft"]),
        f"the rules are those of the own objectives, and none fails: {own} {bad}",
    )
    token = stack.values["prometheus-token"]

    def booked() -> list[dict[str, Any]]:
        found = stack.get("service", "/api/v1/slos", token)
        return [one for one in found["slos"] if one["total"]] if found else []

    (budget,) = wait_for(booked, "booked requests", 540)
    good, total = budget["good"], budget["total"]
    require(
        budget["id"] == "own-ttft" and good * TOTAL == total * GOOD,
        f"budget of own-ttft: {good:.0f} of {total:.0f} requests good, as served",
    )
    for service in PORTS:
        stack.containers.podman("healthcheck", "run", stack.container(service))
    step(f"health checks pass: {', '.join(PORTS)}")
    page(stack)


def page(stack: Stack) -> None:
    """Send an alert of severity `page` to Alertmanager, and wait for the receiver to have it."""
    labels = {"alertname": "SLOBurnRate", "severity": "page", "pool": "own-pool", "objective": "own-ttft"}
    body = json.dumps([{"labels": labels, "annotations": {"summary": "sent by make containers"}}]).encode()
    url = f"http://127.0.0.1:{stack.ports['alertmanager']}/api/v2/alerts"
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()
    wait_for(lambda: "sent by make containers" in stack.containers.logs("pager"), "page", 60)
    step("a page arrived at its receiver")


def scan(containers: Containers, values: list[str]) -> None:
    """Show that no secret is in any layer or in the configuration of an image."""
    archive = containers.folder / "image.tar"
    containers.podman("save", "--format", "docker-archive", "--output", archive, "localhost/plimsoll-slo:0.1.0")
    folder = containers.folder / "layers"
    folder.mkdir()
    subprocess.run(("tar", "--extract", "--file", archive, "--directory", folder), check=True)
    patterns = containers.folder / "patterns"
    patterns.write_text("\n".join(values) + "\n")
    count = 0
    for layer in folder.rglob("*"):
        if layer.is_file():
            found = subprocess.run(
                ("grep", "--quiet", "--binary-files=text", "--fixed-strings", "--file", patterns, layer), check=False
            )
            require_absent = found.returncode == 1
            if not require_absent:
                sys.exit(f"wrong: a secret is in {layer.name}")
            count += 1
    step(f"no secret in {count} layers and files of the image")


def main() -> None:
    """Run every step; the storage is removed at the end."""
    if absent := missing():
        sys.exit(f"Containers: not to be had here: {', '.join(absent)}. Install these Debian packages as root.")
    with tempfile.TemporaryDirectory(prefix="plimsoll-containers-", dir="/var/tmp") as name:
        containers = Containers(Path(name))
        canary = secrets.token_hex(16)
        stack = Stack(containers, clone_with_canaries(Path(name), canary), Path(name) / "config")
        try:
            containers.base_images()
            step("base images from Debian's packages")
            stack.configure()
            containers.build(stack.clone, stack.clone / "compose" / "Dockerfile", "localhost/plimsoll-slo:0.1.0")
            step("image built")
            scan(containers, [canary, *stack.values.values()])
            refusals(stack)
            stack.compose("up", "-d", *SERVICES)
            step("stack started")
            for engine in ("engine-a", "engine-b"):
                stack.stand_in(engine, "engine_stand_in.py", f"/opt/{PAGE.name}")
            stack.stand_in("pager", "pager_stand_in.py")
            drive(stack)
            containers.podman("rm", "--force", "--time", "2", "engine-a", "engine-b", "pager")
            stack.compose("down", "--volumes")
            left = containers.podman("ps", "--all", "--quiet") + containers.podman("volume", "ls", "--quiet")
            require(left.split() == [], "down: no container and no volume is left")
        finally:
            containers.remove()


if __name__ == "__main__":
    STARTED = time.monotonic()
    main()
    print(f"containers: passed in {time.monotonic() - STARTED:.0f} s")

"""Backfills a Prometheus with raw samples and with what the rules record from them, by promtool."""

import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from plimsoll.alerts.build import render as render_alerts
from plimsoll.slo.spec.objectives import Spec
from stack import Prometheus, require


class PastPrometheus(Prometheus):
    """A Prometheus without scrape targets that serves the blocks of a folder."""

    def __init__(self, data: Path) -> None:
        super().__init__()
        self.data = data
        self._client = httpx.Client(base_url=self.url, timeout=60)  # one for thousands of queries

    def arguments(self) -> list[str]:
        """Return the command line: the given storage, without a retention limit for its old samples."""
        kept = [one for one in super().arguments() if not one.startswith("--storage.tsdb.path")]
        return [*kept, f"--storage.tsdb.path={self.data}", "--storage.tsdb.retention.time=100y"]

    def __exit__(self, *_: object) -> None:
        self._client.close()
        super().__exit__()

    def _get(self, path: str, **parameters: Any) -> Any:
        response = self._client.get(path, params={name: one for name, one in parameters.items() if one is not None})
        if not response.is_success:
            pytest.fail(f"{path} {parameters}: {response.status_code} {response.text}")
        return response.json()


class Backfill:
    """Writes the storage under `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "tsdb"
        self.data.mkdir(parents=True, exist_ok=True)
        self._note = folder / "made.json"

    @property
    def made(self) -> str:
        """Return the note of `done`; empty before."""
        return self._note.read_text() if self._note.exists() else ""

    def done(self, note: str) -> None:
        """Note that the data is complete."""
        self._note.write_text(note)

    def openmetrics(self, parts: Iterable[str]) -> None:
        """Add samples as lines `series value time`, in time order per series; at most two hours per call."""
        path = self.folder / "samples.txt"
        with path.open("w") as file:
            file.writelines(parts)
            file.write("# EOF\n")
        self._promtool("openmetrics", path, self.data)
        path.unlink()

    def rules(self, spec: Spec, start: int, end: int, every: int = 30) -> None:
        """Add the results of all rules from `start` to `end` (Unix seconds), each rule after those that it reads.

        Alerts are recorded as ALERTS without their `for`, which promtool doesn't support.
        """
        # One file for all levels: promtool evaluates at moments that follow from its path, and rules that read each other are of one
        # group, so of one moment, in a real Prometheus.
        path = self.folder / "rules.yml"
        for level in levels(spec):
            with self.prometheus() as prometheus:
                path.write_text(yaml.safe_dump({"groups": [{"name": "all", "interval": f"{every}s", "rules": level}]}))
                span = (f"--start={start}", f"--end={end}", f"--output-dir={self.data}")
                self._promtool("rules", f"--url={prometheus.url}", *span, path)
        path.unlink()

    def prometheus(self) -> PastPrometheus:
        """Return a Prometheus on this storage, for a `with` statement."""
        return PastPrometheus(self.data)

    def _promtool(self, *arguments: str | Path) -> None:
        command = [require("promtool"), "tsdb", "create-blocks-from", *map(str, arguments)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise RuntimeError(f"{' '.join(command)}: {ran.stdout[-2000:]}{ran.stderr[-2000:]}")


def levels(spec: Spec) -> Sequence[Sequence[dict[str, Any]]]:
    """Return all rules as recording rules, in levels: each reads only the levels before it."""
    texts = (text for name, text in render_alerts(spec).items() if name.endswith(".rules.yml"))
    rules = [rule for text in texts for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
    waiting = [rule for rule in rules if "record" in rule]
    found: list[list[dict[str, Any]]] = []
    while waiting:
        names = {rule["record"] for rule in waiting}
        # A rule that continues its own past has none here: it records what is new to it.
        ready = [rule for rule in waiting if not any(name in rule["expr"] for name in names - {rule["record"]})]
        if not ready:
            raise RuntimeError(f"recording rules read each other: {sorted(names)}")
        found.append(ready)
        waiting = [rule for rule in waiting if rule not in ready]
    return [*found, [_recorded(rule) for rule in rules if "alert" in rule]]


def _recorded(rule: dict[str, Any]) -> dict[str, Any]:
    labels = rule["labels"] | {"alertname": rule["alert"], "alertstate": "firing"}
    return {"record": "ALERTS", "expr": f"({rule['expr']}) ^ 0", "labels": labels}

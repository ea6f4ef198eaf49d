"""`plimsoll export` as a process: its page, its values and its log."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from stack import wait_for

EXPORT = [sys.executable, "-m", "plimsoll.compose.cli", "export"]


class Exporter:
    """A running exporter and its log file."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log
        (self.url,) = wait_for(lambda: re.findall(r"metrics on (https?://\S+)", self.said()), "the exporter to start")

    def said(self) -> str:
        assert self.process.poll() is None, self.log.read_text()
        return self.log.read_text()

    def get(self, **headers: str) -> httpx.Response:
        return httpx.get(self.url, headers=headers, trust_env=False, timeout=90)

    def values(self, **headers: str) -> dict[tuple[str, str], float]:
        """Return the values by metric and the label that distinguishes its series."""
        families = text_string_to_metric_families(self.get(**headers).raise_for_status().text)
        return {
            (
                sample.name,
                sample.labels.get("uuid") or sample.labels.get("collector") or sample.labels.get("replica", ""),
            ): sample.value
            for family in families
            for sample in family.samples
            if "domain" not in sample.labels
        }


@contextmanager
def exporting(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> Iterator[Exporter]:
    """Run the command on a free port until the end of the block."""
    log = folder / "exporter.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*EXPORT, "--listen", "127.0.0.1:0", *arguments], env=env, stdout=output, stderr=output
        )
    try:
        yield Exporter(process, log)
    finally:
        process.terminate()
        process.wait(30)

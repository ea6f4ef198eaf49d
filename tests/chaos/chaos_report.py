"""What a chaos run found, as Markdown."""

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from chaos_config import BUSY
from chaos_stack import World
from comparison import Compared
from fault_plan import Fault
from truth_pages import Deserved, Page, missing
from watcher import Advice

SETTLE = 1.0  # seconds after a fault's begin in which an answer may have been under way
MOST_SHOWN = 12


@dataclass
class Result:
    """Everything that a run found."""

    seed: int
    minutes: float
    faults: Sequence[Fault] = ()
    compared: dict[str, Compared] = field(default_factory=dict)
    deserved: Deserved = field(default_factory=lambda: Deserved(set(), set()))
    arrived: set[Page] = field(default_factory=set)
    advice: Sequence[Advice] = ()
    blind: Sequence[Advice] = ()
    releases: Sequence[Advice] = ()
    problems: list[str] = field(default_factory=list)
    skipped: Sequence[str] = ()
    restarts: Counter[str] = field(default_factory=Counter)

    @property
    def differences(self) -> int:
        """Slots that differ, and sums that are too high."""
        return sum(len(one.differences) for one in self.compared.values())

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        compared = self.compared and all(one.exact + one.bounded for one in self.compared.values())
        pages = not missing(self.deserved.must, self.arrived) and self.arrived <= self.deserved.may
        return bool(compared and pages and not (self.differences or self.releases or self.problems))


def blind_advice(world: World, advice: Sequence[Advice]) -> tuple[list[Advice], list[Advice]]:
    """Return the recommendations made while their service was blind; and those to release nodes that were made blind, or of a pool
    that can spare none at any time."""
    blind = [
        one
        for one in advice
        if any(
            mark.what == "blind" and mark.source == one.service and mark.begin + SETTLE < one.at and one.read < mark.end
            for mark in world.marks
        )
    ]
    return blind, [one for one in advice if one.action == "scale_in" and (one in blind or one.pool == BUSY)]


def markdown(result: Result) -> str:
    """Write the report."""
    must, may, seen = *result.deserved, result.arrived
    lines = [
        f"## Seed {result.seed}: {'passed' if result.passed else 'FAILED'}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC · `make chaos SEED={result.seed} MINUTES={result.minutes:g}` · {_machine()}",
        "",
        "| | |",
        "|---|---|",
        f"| Faults | {len(result.faults)} of {len({one.kind.name for one in result.faults})} kinds |",
        f"| Slots compared, (objective, slot) pairs | {sum(one.exact + one.bounded for one in result.compared.values())} |",
        f"| Differences | {result.differences} |",
        f"| Pages deserved / arrived / false / missing | {len(must)} / {len(seen)} / {len(seen - may)} / {len(missing(must, seen))} |",
        f"| Recommendations read / made without data / of these, releases of nodes | {len(result.advice)} / {len(result.blind)} / {len(result.releases)} |",
        f"| Other problems | {len(result.problems)} |",
        "",
        *_ledgers(result),
        *_faults(result),
        *_details(result),
    ]
    return "\n".join(lines) + "\n"


def _ledgers(result: Result) -> list[str]:
    head = [
        "| Ledger of service | Compared exactly | Within bounds (the store lost samples) | Requests | Differences |"
    ]
    rows = [
        f"| {name} | {one.exact} | {one.bounded} | {one.requests} | {len(one.differences)} |"
        for name, one in result.compared.items()
    ]
    return [*head, "|---|---|---|---|---|", *rows, ""]


def _faults(result: Result) -> list[str]:
    counts = Counter(one.kind.name for one in result.faults)
    targets = {
        kind: ", ".join(sorted({one.target for one in result.faults if one.kind.name == kind})) for kind in counts
    }
    rows = [f"| {kind} | {counts[kind]} | {targets[kind]} |" for kind in sorted(counts)]
    skipped = [f"| {text} | skipped | |" for text in result.skipped]
    return ["| Fault | Times | Of |", "|---|---|---|", *rows, *skipped, ""]


def _details(result: Result) -> list[str]:
    found = [*result.problems]
    found += [
        f"page missing: {page.pool} {page.alert}" for page in sorted(missing(result.deserved.must, result.arrived))
    ]
    found += [f"false page: {page.pool} {page.alert}" for page in sorted(result.arrived - result.deserved.may)]
    found += [f"release while blind: {one.service} {one.pool} at {one.at:.0f}" for one in result.releases[:MOST_SHOWN]]
    for one in result.compared.values():
        found += [
            f"{item.service} {item.objective} {item.slot}: expected {item.expected}, found {item.found}"
            for item in one.differences[:MOST_SHOWN]
        ]
    return [*(f"- {text}" for text in found), *([""] if found else [])]


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} × {_processor()}, {memory:.0f} GiB, Linux {platform.release()}, {_version('prometheus')}, Python {platform.python_version()}"


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(program: str) -> str:
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    words = (found.stdout + found.stderr).split()
    return f"Prometheus {words[2]}" if len(words) > 2 else program

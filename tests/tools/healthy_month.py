"""A simulated month of a healthy fleet of 20 replicas, and the same month with ten incidents, through every generated rule.

    python tests/tools/healthy_month.py            play both, and print pages, tickets, and detection times
    python tests/tools/healthy_month.py --write    also write docs/evidence/alert-month.md

promtool evaluates the rules over the series of `tests/worlds/month.py`. Alerts that page are evaluated every two minutes, tickets every five
(production: 15 s to 5 min), each with the recorded series that they read, all of them from the first minute to the last.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import month
import month_report
from alert_groups import Firing, Notification, notifications
from month import DAYS, LEAD, Incident
from month_pool import DAY, HOUR, WEEK
from month_series import Line, notation
from plimsoll.alerts.build import render
from promtool import in_order
from stack import versions

STEPS = {"page": 2, "ticket": 5}  # minutes between two evaluations, by severity
# Minutes before a chunk from which its rules know the past: as far as the longest window of each severity looks back.
BEFORE = {"page": 8 * HOUR, "ticket": 3 * DAY}
FILES = ("objectives", "health", "fleet")
_TIME = re.compile(r'expr: "ALERTS.*", time: (.*),$')
_SAMPLE = re.compile(r'\{__name__="ALERTS", ([^{}]*)\} 1E\+00')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Played:
    """One simulated month: its incidents, and what was sent, in seconds from the beginning of the week before it."""

    days: int
    incidents: Sequence[Incident]
    pages: Sequence[Notification]
    tickets: Sequence[Notification]

    def pages_of(self, incident: Incident) -> list[Notification]:
        """Return the pages sent from the beginning of an incident to half an hour after its end."""
        return [one for one in self.pages if 60 * incident.begins <= one.opened <= 60 * (incident.span.stop + 30)]

    @property
    def other_pages(self) -> list[Notification]:
        """Pages of no incident."""
        known = [page for incident in self.incidents for page in self.pages_of(incident)]
        return [one for one in self.pages if one not in known]

    def tickets_in(self, week: int) -> list[Notification]:
        """Return the tickets of a week, from 0."""
        return [one for one in self.tickets if one.opened // (60 * WEEK) == week + 1]


def rules(severities: Sequence[str]) -> dict[str, Any]:
    """Return the generated rules: the alerts of these severities, and every recorded series that they read, directly or not."""
    rendered = render(month.spec())
    groups = [group for name in FILES for group in yaml.safe_load(rendered[f"{name}.rules.yml"])["groups"]]
    records: dict[str, list[str]] = {}
    for group in groups:
        for rule in group["rules"]:
            if "record" in rule:
                records.setdefault(rule["record"], []).append(rule["expr"])
    alerts = [rule["expr"] for group in groups for rule in group["rules"] if _severity(rule) in severities]
    read, new = set[str](), {name for name in records if any(name in expr for expr in alerts)}
    while new:
        read |= new
        new = {name for name in records for one in new for expr in records[one] if name in expr} - read
    found = [
        group | {"rules": [one for one in group["rules"] if _severity(one) in severities or one.get("record") in read]}
        for group in groups
    ]
    return {"groups": [group for group in found if group["rules"]]}


def _severity(rule: dict[str, Any]) -> str:
    return str(rule.get("labels", {}).get("severity", ""))


@dataclass(frozen=True)
class Chunk:
    """A part of a month, in minutes."""

    severity: str
    begin: int
    end: int
    step: int
    lines: Sequence[Line]
    before: int  # minutes before it that are evaluated too

    @property
    def window(self) -> slice:
        """The minutes that are evaluated."""
        return slice(self.begin - self.before, self.end)

    def firings(self, folder: Path) -> list[Firing]:
        """Return when each alert fires, by promtool: the newest at hand, on one core."""
        wanted = ("page", "info") if self.severity == "page" else (self.severity,)
        first = self.window.start
        query = f'ALERTS{{alertstate="firing",severity="{self.severity}"}}'
        moments = range(self.before, self.end - first, self.step)
        checks = [{"expr": query, "eval_time": f"{at}m", "exp_samples": []} for at in moments]
        test = {
            "interval": "1m",
            "input_series": notation(self.lines, self.window),
            "promql_expr_test": checks,
        }
        groups = in_order(rules(wanted)["groups"])
        document = {
            "rule_files": ["rules.yml"],
            "evaluation_interval": f"{self.step}m",
            "group_eval_order": [group["name"] for group in groups],
            "tests": [test],
        }
        with tempfile.TemporaryDirectory(dir=folder) as name:
            (Path(name) / "rules.yml").write_text(json.dumps({"groups": groups}))
            (Path(name) / "test.yml").write_text(json.dumps(document))
            output = _promtool(Path(name))
        return list(_firings(output, 60.0 * self.step, 60.0 * first))


def _promtool(folder: Path) -> list[str]:
    economical = os.environ | {"GOGC": "400", "GOMAXPROCS": "1"}
    command = [versions("promtool")[-1], "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=folder, env=economical, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).splitlines()


def _firings(output: Sequence[str], step: float, first: float) -> Iterator[Firing]:
    """Yield the alerts in promtool's output, which lists those of each moment at which one fires; raises RuntimeError for another."""
    moments: dict[tuple[tuple[str, str], ...], list[float]] = {}
    now = -1.0
    for line in output:
        if found := _TIME.search(line):
            now = first + _seconds(found[1])
        elif "got:" in line:
            for sample in _SAMPLE.findall(line):
                moments.setdefault(tuple(sorted(_LABEL.findall(sample))), []).append(now)
        elif "exp:" not in line and line.strip() not in ("", "FAILED:", "SUCCESS", "Unit Testing:  test.yml"):
            raise RuntimeError(f"promtool: {line}")
    for labels, times in moments.items():
        begin = before = times[0]
        for moment in [*times[1:], float("inf")]:
            if moment > before + step:
                yield Firing(dict(labels), begin, before + step)
                begin = moment
            before = moment


def _seconds(text: str) -> float:
    return sum(
        float(number) * {"d": 86400, "h": 3600, "m": 60, "s": 1}[unit]
        for number, unit in re.findall(r"(\d+)([dhms])", text)
    )


def chunks(lines: Sequence[Line], days: int, severities: Sequence[str]) -> list[Chunk]:
    """Return the weeks of a month, for pages and for tickets."""
    weeks = [(begin, min(begin + WEEK, LEAD + days * DAY)) for begin in range(LEAD, LEAD + days * DAY, WEEK)]
    return [
        Chunk(severity, begin, end, STEPS[severity], lines, BEFORE[severity])
        for begin, end in weeks
        for severity in severities
    ]


def around(lines: Sequence[Line], incidents: Sequence[Incident]) -> list[Chunk]:
    """Return the hours around each incident, for pages, a minute a step. Elsewhere the month is the healthy one."""
    return [Chunk("page", one.begins - HOUR, one.span.stop + 3 * HOUR, 1, lines, BEFORE["page"]) for one in incidents]


def evaluated(parts: Sequence[Chunk], jobs: int) -> Iterator[list[Firing]]:
    """Yield the alerts of each chunk; up to `jobs` promtools run at once."""
    with tempfile.TemporaryDirectory(prefix="healthy-month-") as name, ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(lambda part: part.firings(Path(name)), parts)


def played(days: int, incidents: Sequence[Incident], found: Sequence[Firing]) -> Played:
    """Pass the alerts through the generated configuration of Alertmanager."""
    sent = notifications(yaml.safe_load(render(month.spec())["alertmanager.yml"]), _joined(found))
    pages = [one for one in sent if one.receiver.startswith("page")]
    return Played(days, incidents, pages, [one for one in sent if one.receiver.startswith("ticket")])


def _joined(found: Sequence[Firing]) -> list[Firing]:
    """Join what fires over the end of a chunk."""
    joined: dict[tuple[tuple[str, str], ...], list[Firing]] = {}
    for one in sorted(found, key=lambda one: one.start):
        known = joined.setdefault(tuple(sorted(one.labels.items())), [])
        if known and one.start <= known[-1].end:
            known[-1] = Firing(one.labels, known[-1].start, max(one.end, known[-1].end))
        else:
            known.append(one)
    return [one for known in joined.values() for one in known]


def main() -> None:
    """Play both months, print the outcome, and write the document with --write."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--write", action="store_true", help="write docs/evidence/alert-month.md")
    arguments.add_argument("--jobs", type=int, default=2, help="promtools that run at once (default: 2)")
    given = arguments.parse_args()
    healthy = chunks(month.given(), DAYS, tuple(STEPS))
    hit = around(month.given(incidents=month.INCIDENTS), month.INCIDENTS)
    found = list(evaluated([*healthy, *hit], given.jobs))
    sent = [
        played(DAYS, (), [one for fired in found[: len(healthy)] for one in fired]),
        played(DAYS, month.INCIDENTS, [one for fired in found[len(healthy) :] for one in fired]),
    ]
    print(text := month_report.tables(*sent))
    if given.write:
        month_report.write(text)
        print(f"written: {month_report.DOCUMENT}")


if __name__ == "__main__":
    main()

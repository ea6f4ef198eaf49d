"""Incident replay: every incident of tests/fixtures/incidents, at once, through a real Prometheus and a real Alertmanager.

Prints which pages were sent when. Incidents of the same length share one run; runs are concurrent, each accelerated (tests/tools/time_compression.py) so that it
takes RUN_SECONDS. Three days of normal traffic before it are backfilled with promtool. Rules as Sloth and Pyrra generate them are
evaluated by the same Prometheus over the same samples, after the run.
"""

import json
import math
import tempfile
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

import incident_report
import slo_shapes
import time_compression as compression
from http_server import serving_text
from incident_targets import Clock, Targets
from incidents import Incident, detection, incidents, spec
from pagerduty import PagerDuty
from plimsoll.alerts.build import render
from plimsoll.alerts.notify.receivers import Receivers
from stack import Alertmanager, Prometheus, tool

RUN_SECONDS = 225.0  # real time of a run; its speed follows from the length of its incidents
SETUP_SECONDS = 45.0  # real time to write the history and start the servers
INTERVAL_FACTOR = 2  # rules run half as often as in production (every 30 and 60 simulated seconds), to limit the load
MAX_MISSED = 0.02  # ratio of scrapes or evaluations that may be missing; with more the run is rejected
SCRAPE = 30.0  # simulated seconds between two scrapes
OTHER_GENERATORS = {"Sloth": slo_shapes.sloth, "Pyrra": slo_shapes.pyrra}


@dataclass
class Page:
    """One PagerDuty incident: opened by a trigger, closed by a resolve under the same key. Times in simulated seconds."""

    opened: float
    alert: str
    summary: str
    details: str
    links: list[str]
    events: int = 1
    resolved: float | None = None


@dataclass
class Outcome:
    """Result of one incident: our pages and tickets, and when pages of the other generators' rules fired.

    `raised` are the alerts of severity page that fired in Prometheus, before routing and inhibition.
    """

    incident: Incident
    theory: float | None
    reason: str
    pages: list[Page] = field(default_factory=list)
    tickets: set[str] = field(default_factory=set)
    raised: set[str] = field(default_factory=set)
    others: dict[str, list[float]] = field(default_factory=dict)


class TooSlowError(RuntimeError):
    """The machine was too busy: results of the run aren't valid."""


class FastPrometheus(Prometheus):
    """Prometheus whose own waits are accelerated, with one target per instance behind one address."""

    def __init__(
        self, speed: float, address: str, instances: Sequence[str], rules: Sequence[Path], alertmanager: str
    ) -> None:
        self.speed, every = speed, compression.shorter(f"{SCRAPE:.0f}s", speed)
        job = {
            "job_name": "plimsoll",
            "static_configs": [{"targets": list(instances)}],
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "instance"},
                {"source_labels": ["__address__"], "target_label": "__metrics_path__", "replacement": "/$1"},
                {"target_label": "__address__", "replacement": address},
            ],
        }
        super().__init__(job, rules=rules, alertmanager=alertmanager, interval=every)

    def arguments(self) -> list[str]:
        """Accelerate lookback (5 minutes by default) and resend delay (1 minute)."""
        lookback, resend = (compression.shorter(wait, self.speed) for wait in ("5m", "1m"))
        return [*super().arguments(), f"--query.lookback-delta={lookback}", f"--rules.alert.resend-delay={resend}"]

    def missed(self) -> float:
        """Return the ratio of missed rule evaluations, from its own metrics."""
        lines = httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        missed, all_ = (
            sum(float(line.split()[-1]) for line in lines if line.startswith(f"prometheus_rule_group_{name}_total{{"))
            for name in ("iterations_missed", "iterations")
        )
        return missed / all_


class Replay:
    """One accelerated run of incidents of the same length."""

    def __init__(self, given: Sequence[Incident], folder: Path) -> None:
        self.incidents, self.folder, self.spec = given, folder, spec(list(given))
        self.until = max(one.until for one in given) * 60.0
        self.speed = math.ceil(self.until / RUN_SECONDS)
        self.clock = Clock(time.time() + SETUP_SECONDS, self.speed)
        self.targets = Targets(given, self.spec, self.clock)
        self.tickets: list[dict[str, Any]] = []

    def run(self) -> list[Outcome]:
        """Run to the end and return one outcome per incident; raises TooSlowError."""
        with ExitStack() as stack:
            pagerduty = stack.enter_context(PagerDuty())
            tickets = stack.enter_context(serving_text(self._ticket))
            address = stack.enter_context(self.targets.served())
            alertmanager = stack.enter_context(Alertmanager(self._routes(pagerduty.url, f"http://{tickets}/")))
            prometheus = FastPrometheus(self.speed, address, self.targets.instances, self._rules(), alertmanager.url)
            self._backfill(prometheus.folder / "data")
            if (late := -self.clock.simulated()) < 0:
                raise TooSlowError(
                    f"writing the history took {-late / self.speed:.0f} s too long. Raise SETUP_SECONDS ({SETUP_SECONDS:g} s)."
                )
            stack.enter_context(prometheus)
            time.sleep(max(0.0, self.clock.wall(self.until) - time.time()))
            assert pagerduty.rejected == [], pagerduty.rejected
            self._check(prometheus)
            return self._outcomes(pagerduty, prometheus)

    def _check(self, prometheus: FastPrometheus) -> None:
        """Raise TooSlowError if scrapes failed although their target was up, or if evaluations were missed."""
        whole = compression.shorter(f"{self.until:.0f}s", self.speed)
        seen = {one.labels["instance"]: one.value for one in prometheus.query(f"sum_over_time(up[{whole}])")}
        expected = {name: sum(self._is_up(name, self.until * k / 1000) for k in range(1000)) / 1000 for name in seen}
        lost = 1 - sum(seen.values()) * SCRAPE / self.until / sum(expected.values())
        if lost > MAX_MISSED or prometheus.missed() > MAX_MISSED:
            raise TooSlowError(
                f"{lost:.1%} of scrapes and {prometheus.missed():.1%} of evaluations were missed. Use a less busy machine."
            )

    def _is_up(self, instance: str, second: float) -> bool:
        return self.targets.metrics(instance, second) is not None

    def _ticket(self, path: str, body: bytes) -> str:
        self.tickets.append(json.loads(body))
        return ""

    def _routes(self, pagerduty: str, tickets: str) -> str:
        (self.folder / "pagerduty-routing-key").write_text("k" * 32)
        receivers = Receivers(secrets_dir=str(self.folder), pagerduty_url=pagerduty, tickets=(tickets,))
        document = yaml.safe_load(render(self.spec, receivers=receivers)["alertmanager.yml"])
        return yaml.safe_dump(compression.routes(document, self.speed), width=10_000)

    def _rules(self) -> list[Path]:
        files = render(self.spec)
        documents = {name: yaml.safe_load(files[f"{name}.rules.yml"]) for name in ("objectives", "health")}
        paths = []
        for name, document in documents.items():
            for group in document["groups"]:
                group["interval"] = f"{INTERVAL_FACTOR * compression.seconds(group['interval']):.0f}s"
            paths.append(self.folder / f"{name}.rules.yml")
            paths[-1].write_text(
                yaml.safe_dump(compression.rules(document, self.speed, self.clock.begun), width=10_000)
            )
        return paths

    def _backfill(self, data: Path) -> None:
        text = self.folder / "history.txt"
        with text.open("w") as file:
            file.writelines(f"{line}\n" for line in self.targets.history())
        answer = tool("promtool", "tsdb", "create-blocks-from", "openmetrics", text, data)
        assert answer.returncode == 0, answer.stderr
        text.unlink()

    def _outcomes(self, pagerduty: PagerDuty, prometheus: Prometheus) -> list[Outcome]:
        outcomes = [self._outcome(one) for one in self.incidents]
        by_name = {one.incident.name: one for one in outcomes}
        for name, page in pages(pagerduty, self.clock):
            by_name[self._owner(name)].pages.append(page)
        for message in self.tickets:
            for alert in message["alerts"]:
                labels = alert["labels"]
                if (owner := labels.get("pool") or self._owner(labels.get("instance", ""))) in by_name:
                    by_name[owner].tickets.add(labels["alertname"])
        whole = compression.shorter(f"{self.until:.0f}s", self.speed)
        for one in prometheus.query(f'max_over_time(ALERTS{{alertstate="firing",severity="page",pool!=""}}[{whole}])'):
            by_name[one.labels["pool"]].raised.add(one.labels["alertname"])
        for name, shape in OTHER_GENERATORS.items():
            for outcome in outcomes:
                outcome.others[name] = []
            for pool, promql, hold in slo_shapes.pages(shape(self.spec)):
                by_name[pool].others[name].extend(self._fired(prometheus, promql, hold))
        for outcome in outcomes:
            outcome.others = {name: sorted(fired) for name, fired in outcome.others.items()}
        return outcomes

    def _owner(self, name: str) -> str:
        """Return the incident of a pool or an instance."""
        return self.targets.nodes[name][0].name if name in self.targets.nodes else name

    def _outcome(self, one: Incident) -> Outcome:
        mine = tuple(objective for objective in self.spec.objectives if objective.pool == one.name)
        burns = None if one.excluded else detection(one, mine, self.until)
        minutes = one.theory.get("minutes")
        if minutes is not None and (burns is None or minutes * 60 < burns):
            return Outcome(one, minutes * 60, one.theory["reason"])
        reason = "both windows of a tier exceed its threshold, by slo/error_budget/burn_rate.py"
        return Outcome(one, burns, "" if burns is None else reason)

    def _fired(self, prometheus: Prometheus, promql: str, hold: float) -> Iterator[float]:
        """Yield when another generator's alert starts to fire, in simulated seconds: its query has held for `hold` seconds."""
        start, end, step = self.clock.begun, self.clock.wall(self.until), SCRAPE / self.speed
        for one in prometheus.query_range(compression.query(promql, self.speed, start), start, end, step):
            moments = [self.clock.simulated(moment) for moment, _ in one.points]
            yield from (first + hold for first, last in _runs(moments, 1.5 * SCRAPE) if last - first >= hold)


def _runs(moments: Sequence[float], gap: float) -> Iterator[tuple[float, float]]:
    """Yield first and last of each run of times that are no further apart than the gap."""
    first = last = -math.inf
    for moment in moments:
        if moment - last > gap:
            if last > -math.inf:
                yield first, last
            first = moment
        last = moment
    if last > -math.inf:
        yield first, last


def pages(pagerduty: PagerDuty, clock: Clock) -> Iterator[tuple[str, Page]]:
    """Yield incidents as PagerDuty would open them: (pool, or instance without a pool; page), in order."""
    open_now: dict[str, Page] = {}
    for event, arrived in zip(pagerduty.events, pagerduty.arrivals, strict=True):
        key = event["dedup_key"]
        if event["event_action"] == "resolve":
            if key in open_now:
                open_now.pop(key).resolved = clock.simulated(arrived)
        elif key in open_now:
            open_now[key].events += 1
        else:
            payload = event["payload"]
            details = payload["custom_details"]["firing"]
            links = [link["href"] for link in event["links"]]
            open_now[key] = Page(clock.simulated(arrived), payload["class"], payload["summary"], details, links)
            yield payload.get("component") or payload["source"], open_now[key]


def replay(given: Sequence[Incident], folder: Path) -> list[Outcome]:
    """Run everything and return outcomes in the order of the incidents; raises TooSlowError."""
    lengths = sorted({one.until for one in given})
    replays = []
    for length in lengths:
        (folder / f"{length}").mkdir()
        replays.append(Replay([one for one in given if one.until == length], folder / f"{length}"))
    with ThreadPoolExecutor() as pool:
        outcomes = [one for finished in pool.map(Replay.run, replays) for one in finished]
    return sorted(outcomes, key=lambda one: given.index(one.incident))


def show(outcome: Outcome) -> str:
    """Return an outcome as a few lines of text, in minutes from the incident's beginning."""

    def minutes(seconds: float | None) -> str:
        return "-" if seconds is None else f"{(seconds - outcome.incident.begins) / 60:.1f}"

    pages = [
        f"\n  {page.alert} {minutes(page.opened)} to {minutes(page.resolved)}, {page.events} messages: {page.summary}"
        for page in outcome.pages
    ]
    others = [f"\n  {name}: {', '.join(map(minutes, fired)) or '-'}" for name, fired in outcome.others.items()]
    theory = "-" if outcome.theory is None else f"{outcome.theory / 60:.1f}"
    head = f"{outcome.incident.name}: expected {outcome.incident.expected}, in theory {theory}; tickets {sorted(outcome.tickets)}"
    return "".join((head, *pages, *others))


def main() -> None:
    """Run, print the outcomes, and write the document if asked to."""
    options = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    options.add_argument("--write", action="store_true", help="write docs/evidence/alert-validation.md")
    given = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="incident-replay-") as folder:
        outcomes = replay(incidents(), Path(folder))
    print(*map(show, outcomes), sep="\n")
    if given.write:
        incident_report.write(
            outcomes, tool("prometheus", "--version").stdout.split()[2], RUN_SECONDS, SCRAPE, MAX_MISSED
        )


if __name__ == "__main__":
    main()

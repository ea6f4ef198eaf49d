"""The incident theatre: every incident of tests/fixtures/theatre, at once, through a real Prometheus and a real Alertmanager.

    python tests/tools/theatre.py            play, and print who paged whom when
    python tests/tools/theatre.py --write    also write docs/incident-theatre.md

Incidents of the same length are one play; plays run side by side, each so much faster than life (tests/tools/compressed.py) that it
takes WALL seconds. Before the curtain lie three days of calm, backfilled with promtool. Rules of
Sloth's and Pyrra's shape are evaluated by the same Prometheus over the same samples, once the curtain has fallen.
"""

import json
import math
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

import compressed
import playbill
import slo_shapes
from incidents import Incident, detection, incidents, spec
from pagerduty import PagerDuty
from plimsoll.alerts.build import render
from plimsoll.alerts.receivers import Receivers
from stack import Alertmanager, Prometheus, tool
from stage import Clock, Stage, serving

WALL = 225.0  # seconds of the wall's clock that a play takes; its speed follows from how long its incidents need
REHEARSAL = 45.0  # seconds of the wall's clock within which history is written and the servers are up
EASE = 2  # rules run half as often as in production (30 and 60 seconds of the play): what this machine can do at this speed
LATE = 0.02  # share of scrapes or evaluations that may be missing; with more the play is rejected
SCRAPE = 30.0  # seconds of the play between two scrapes
RIVALS = {"Sloth's shape": slo_shapes.sloth, "Pyrra's shape": slo_shapes.pyrra}


@dataclass
class Page:
    """One PagerDuty incident: opened by a trigger, closed by a resolve under the same key. Seconds of the play."""

    opened: float
    alert: str
    summary: str
    details: str
    links: list[str]
    events: int = 1
    resolved: float | None = None


@dataclass
class Act:
    """What one incident made of everybody: our pages and tickets, and when each rival's pages fired.

    `raised` are the alerts of severity page that Prometheus had firing, whatever Alertmanager made of them.
    """

    incident: Incident
    theory: float | None
    why: str
    pages: list[Page] = field(default_factory=list)
    tickets: set[str] = field(default_factory=set)
    raised: set[str] = field(default_factory=set)
    rivals: dict[str, list[float]] = field(default_factory=dict)


class TooSlowError(RuntimeError):
    """The machine was too busy to play in time: what it saw is no play."""


class FastPrometheus(Prometheus):
    """Prometheus whose own waits are as much shorter, with one target per instance behind one address."""

    def __init__(
        self, speed: float, stage: str, instances: Sequence[str], rules: Sequence[Path], alertmanager: str
    ) -> None:
        self.speed, every = speed, compressed.shorter(f"{SCRAPE:.0f}s", speed)
        job = {
            "job_name": "plimsoll",
            "static_configs": [{"targets": list(instances)}],
            "relabel_configs": [
                {"source_labels": ["__address__"], "target_label": "instance"},
                {"source_labels": ["__address__"], "target_label": "__metrics_path__", "replacement": "/$1"},
                {"target_label": "__address__", "replacement": stage},
            ],
        }
        super().__init__(job, rules=rules, alertmanager=alertmanager, interval=every)

    def arguments(self) -> list[str]:
        """Lookback and resending, by default five minutes and one, are as much shorter."""
        lookback, resend = (compressed.shorter(wait, self.speed) for wait in ("5m", "1m"))
        return [*super().arguments(), f"--query.lookback-delta={lookback}", f"--rules.alert.resend-delay={resend}"]

    def missed(self) -> float:
        """Share of rule evaluations that were left out for want of time, by its own count."""
        lines = httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines()
        missed, all_ = (
            sum(float(line.split()[-1]) for line in lines if line.startswith(f"prometheus_rule_group_{name}_total{{"))
            for name in ("iterations_missed", "iterations")
        )
        return missed / all_


class Theatre:
    """A play from history to curtain; `acts` hold what happened."""

    def __init__(self, cast: Sequence[Incident], folder: Path) -> None:
        self.cast, self.folder, self.spec = cast, folder, spec(list(cast))
        self.until = max(one.until for one in cast) * 60.0
        self.speed = math.ceil(self.until / WALL)
        self.clock = Clock(time.time() + REHEARSAL, self.speed)
        self.stage = Stage(cast, self.spec, self.clock)
        self.tickets: list[dict[str, Any]] = []

    def play(self) -> list[Act]:
        """Play until the curtain falls and return an act per incident."""
        with ExitStack() as hall:
            pagerduty = hall.enter_context(PagerDuty())
            post = hall.enter_context(serving(self._ticket))
            address = hall.enter_context(self.stage.served())
            alertmanager = hall.enter_context(Alertmanager(self._routes(pagerduty.url, f"http://{post}/")))
            prometheus = FastPrometheus(self.speed, address, self.stage.instances, self._rules(), alertmanager.url)
            self._backfill(prometheus.folder / "data")
            if (late := -self.clock.played()) < 0:
                raise TooSlowError(
                    f"history took {-late / self.speed:.0f} s too long to write; allow more than {REHEARSAL:g} s"
                )
            hall.enter_context(prometheus)
            time.sleep(max(0.0, self.clock.wall(self.until) - time.time()))
            assert pagerduty.rejected == [], pagerduty.rejected
            self._check(prometheus)
            return self._acts(pagerduty, prometheus)

    def _check(self, prometheus: FastPrometheus) -> None:
        """Refuse a play in which the machine came late: a scrape failed although the page was there, or evaluations were left out."""
        whole = compressed.shorter(f"{self.until:.0f}s", self.speed)
        seen = {one.labels["instance"]: one.value for one in prometheus.query(f"sum_over_time(up[{whole}])")}
        expected = {name: sum(self._answers(name, self.until * k / 1000) for k in range(1000)) / 1000 for name in seen}
        lost = 1 - sum(seen.values()) * SCRAPE / self.until / sum(expected.values())
        if lost > LATE or prometheus.missed() > LATE:
            raise TooSlowError(
                f"{lost:.1%} of scrapes and {prometheus.missed():.1%} of evaluations came too late or never"
            )

    def _answers(self, instance: str, played: float) -> bool:
        return self.stage.page(instance, played) is not None

    def _ticket(self, path: str, body: bytes) -> str:
        self.tickets.append(json.loads(body))
        return ""

    def _routes(self, pagerduty: str, tickets: str) -> str:
        (self.folder / "pagerduty-routing-key").write_text("k" * 32)
        receivers = Receivers(secrets_dir=str(self.folder), pagerduty_url=pagerduty, tickets=tickets)
        document = yaml.safe_load(render(self.spec, receivers=receivers)["alertmanager.yml"])
        return yaml.safe_dump(compressed.routes(document, self.speed), width=10_000)

    def _rules(self) -> list[Path]:
        files = render(self.spec)
        documents = {name: yaml.safe_load(files[f"{name}.rules.yml"]) for name in ("objectives", "health")}
        paths = []
        for name, document in documents.items():
            for group in document["groups"]:
                group["interval"] = f"{EASE * compressed.seconds(group['interval']):.0f}s"
            paths.append(self.folder / f"{name}.rules.yml")
            paths[-1].write_text(yaml.safe_dump(compressed.rules(document, self.speed, self.clock.begun), width=10_000))
        return paths

    def _backfill(self, data: Path) -> None:
        text = self.folder / "history.txt"
        with text.open("w") as file:
            file.writelines(f"{line}\n" for line in self.stage.history())
        answer = tool("promtool", "tsdb", "create-blocks-from", "openmetrics", text, data)
        assert answer.returncode == 0, answer.stderr
        text.unlink()

    def _acts(self, pagerduty: PagerDuty, prometheus: Prometheus) -> list[Act]:
        acts = [self._act(one) for one in self.cast]
        by_name = {act.incident.name: act for act in acts}
        for name, page in pages(pagerduty, self.clock):
            by_name[self._owner(name)].pages.append(page)
        for message in self.tickets:
            for alert in message["alerts"]:
                labels = alert["labels"]
                if (owner := labels.get("pool") or self._owner(labels.get("instance", ""))) in by_name:
                    by_name[owner].tickets.add(labels["alertname"])
        whole = compressed.shorter(f"{self.until:.0f}s", self.speed)
        for one in prometheus.query(f'max_over_time(ALERTS{{alertstate="firing",severity="page",pool!=""}}[{whole}])'):
            by_name[one.labels["pool"]].raised.add(one.labels["alertname"])
        for name, shape in RIVALS.items():
            for act in acts:
                act.rivals[name] = []
            for pool, promql, hold in slo_shapes.pages(shape(self.spec)):
                by_name[pool].rivals[name].extend(self._fired(prometheus, promql, hold))
        for act in acts:
            act.rivals = {name: sorted(fired) for name, fired in act.rivals.items()}
        return acts

    def _owner(self, name: str) -> str:
        """The incident behind the name of a pool or an instance."""
        return self.stage.nodes[name][0].name if name in self.stage.nodes else name

    def _act(self, one: Incident) -> Act:
        mine = tuple(objective for objective in self.spec.objectives if objective.pool == one.name)
        burns = None if one.excluded else detection(one, mine, self.until)
        told = one.theory.get("minutes")
        if told is not None and (burns is None or told * 60 < burns):
            return Act(one, told * 60, one.theory["why"])
        return Act(one, burns, "" if burns is None else "both windows of a tier burn, by slo/error_budget/burn_rate.py")

    def _fired(self, prometheus: Prometheus, promql: str, hold: float) -> Iterator[float]:
        """When an alert of a rival begins to fire, in seconds of the play: its query has held for so long."""
        start, end, step = self.clock.begun, self.clock.wall(self.until), SCRAPE / self.speed
        for one in prometheus.query_range(compressed.query(promql, self.speed, start), start, end, step):
            moments = [self.clock.played(moment) for moment, _ in one.points]
            yield from (first + hold for first, last in _runs(moments, 1.5 * SCRAPE) if last - first >= hold)


def _runs(moments: Sequence[float], gap: float) -> Iterator[tuple[float, float]]:
    """First and last of each run of moments that are no further apart than the gap."""
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
    """Incidents as PagerDuty would open them: (pool, or instance where no pool is named; page), in order."""
    open_now: dict[str, Page] = {}
    for event, arrived in zip(pagerduty.events, pagerduty.arrivals, strict=True):
        key = event["dedup_key"]
        if event["event_action"] == "resolve":
            if key in open_now:
                open_now.pop(key).resolved = clock.played(arrived)
        elif key in open_now:
            open_now[key].events += 1
        else:
            payload = event["payload"]
            details = payload["custom_details"]["firing"]
            links = [link["href"] for link in event["links"]]
            open_now[key] = Page(clock.played(arrived), payload["class"], payload["summary"], details, links)
            yield payload.get("component") or payload["source"], open_now[key]


def perform(cast: Sequence[Incident], folder: Path) -> list[Act]:
    """Play everything, in order of the cast; raises TooSlowError."""
    lengths = sorted({one.until for one in cast})
    theatres = []
    for length in lengths:
        (folder / f"{length}").mkdir()
        theatres.append(Theatre([one for one in cast if one.until == length], folder / f"{length}"))
    with ThreadPoolExecutor() as pool:
        acts = [act for played in pool.map(Theatre.play, theatres) for act in played]
    return sorted(acts, key=lambda act: cast.index(act.incident))


def show(act: Act) -> str:
    """One incident on a few lines of a terminal, in minutes from its beginning."""

    def minutes(seconds: float | None) -> str:
        return "-" if seconds is None else f"{(seconds - act.incident.begins) / 60:.1f}"

    pages = [
        f"\n  {page.alert} {minutes(page.opened)} to {minutes(page.resolved)}, {page.events} messages: {page.summary}"
        for page in act.pages
    ]
    rivals = [f"\n  {name}: {', '.join(map(minutes, fired)) or '-'}" for name, fired in act.rivals.items()]
    theory = "-" if act.theory is None else f"{act.theory / 60:.1f}"
    head = f"{act.incident.name}: deserves {act.incident.deserves}, in theory {theory}; tickets {sorted(act.tickets)}"
    return "".join((head, *pages, *rivals))


def main() -> None:
    """Play, print, and write the document where asked to."""
    with tempfile.TemporaryDirectory(prefix="theatre-") as folder:
        acts = perform(incidents(), Path(folder))
    print("\n".join(map(show, acts)))
    if "--write" in sys.argv[1:]:
        version = tool("prometheus", "--version").stdout.split()[2]
        playbill.write(acts, version, WALL, SCRAPE, LATE)
        print(f"written: {playbill.DOCUMENT}")


if __name__ == "__main__":
    main()

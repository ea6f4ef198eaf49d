"""Everything at once: a real vLLM, our exporter, two SLO services, a real Prometheus and Alertmanager, and a PagerDuty server."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

import real_engine
from fakenvml import FakeNvml
from pagerduty import PagerDuty
from plimsoll.alerts.build import render
from plimsoll.alerts.notify.receivers import Receivers
from plimsoll.alerts.rules import Sites
from plimsoll.exporters.vllm.histogram_buckets import with_limits
from plimsoll.slo.spec.objectives import Spec, load
from process import Command
from stack import Alertmanager, Prometheus, free_port, scrape

# A busy machine is seldom late for it, and recorded rates, which lose up to an interval at a window's edge, stay within 1 %.
SCRAPE_INTERVAL = "2s"
LIMIT = 1.0  # seconds: short requests take a fraction of it, long ones a multiple; the client checks both
# The overload's queue lasts minutes on a slow machine. No first token is later than this, so that the budgets that burn, and for
# how long, don't depend on the machine.
FIRST = "600s"
OBJECTIVES = f"""
version: plimsoll/v1
pools:
  - name: chat
    model: {real_engine.MODEL}
    node: {{gpu: none, gpus: 1}}
    nodes: {{min: 1, max: 4, warm_spares: 1}}
    timing: {{cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}}
objectives:
  - {{id: first, pool: chat, indicator: {{time_to_first_token: {FIRST}}}, target: 95%, window: 28d}}
  - {{id: whole, pool: chat, indicator: {{request_duration: {LIMIT * 1000:g}ms}}, target: 90%, window: 28d}}
  - {{id: joint, pool: chat, indicator: {{goodput: {{ttft: {FIRST}, e2e: {LIMIT * 1000:g}ms}}}}, target: 90%, window: 28d}}
  - {{id: served, pool: chat, indicator: availability, target: 99%, window: {{calendar: quarter, timezone: UTC}}}}
"""


@dataclass
class Whole:
    """Everything that runs, and the client's own tally: outcome -> requests, by objective."""

    spec: Spec
    engine: real_engine.Engine
    exporter: str
    services: dict[str, Command]
    urls: dict[str, str]
    prometheus: Prometheus
    alertmanager: Alertmanager
    pagerduty: PagerDuty
    started: float
    tally: dict[str, dict[str, int]] = field(default_factory=dict)

    def api(self, service: str, path: str) -> Any:
        """One answer of a service's API."""
        return httpx.get(f"{self.urls[service]}/api/v1/{path}", timeout=60, trust_env=False).raise_for_status().json()


@contextmanager
def start(folder: Path) -> Iterator[Whole]:
    """Start every part, each after what it reads from; raises real_server.Unavailable."""
    file, key = folder / "objectives.yaml", folder / "pagerduty-routing-key"
    file.write_text(OBJECTIVES)
    key.write_text("0123456789abcdef0123456789abcdef")
    spec = load(OBJECTIVES)
    real_engine.prepare()
    buckets = json.dumps(with_limits(spec))
    exporter, names = f"127.0.0.1:{free_port()}", ("from-prometheus", "from-scrapes")
    urls = {name: f"http://127.0.0.1:{free_port()}" for name in names}
    gpus = FakeNvml(folder, count=2)
    with (
        real_engine.start(arguments=("--custom-histogram-buckets", buckets), objectives=file) as engine,
        Command(
            folder / "exporter.log",
            *("export", "--engine", f"tiny={engine.url}", "--listen", exporter, "--objectives", str(file)),
            ready=f"http://{exporter}/metrics",
            env=gpus.env,
        ),
        PagerDuty() as pagerduty,
    ):
        sites = Sites(service=urls["from-prometheus"])
        files = render(spec, sites, Receivers(secrets_dir=str(folder), pagerduty_url=pagerduty.url))
        rules = [folder / name for name in files if name.endswith(".rules.yml")]
        for path in rules:
            path.write_text(files[path.name])
        service = urls["from-prometheus"].removeprefix("http://")
        with (
            Alertmanager(files["alertmanager.yml"]) as alertmanager,
            Prometheus(
                *(scrape("exporter", exporter, region="here", node="this"), scrape("service", service)),
                rules=rules,
                alertmanager=alertmanager.url,
                interval=SCRAPE_INTERVAL,
            ) as prometheus,
        ):
            sources = {"from-prometheus": f"prometheus:{prometheus.url}", "from-scrapes": f"scrape:http://{exporter}"}
            services = {
                name: Command(
                    folder / f"{name}.log",
                    *("serve", "--source", sources[name], "--db", f"sqlite:///{folder / name}.db"),
                    *("--listen", urls[name].removeprefix("http://"), "--objectives", str(file)),
                    ready=f"{urls[name]}/-/ready",
                )
                for name in names
            }
            with services["from-prometheus"], services["from-scrapes"]:
                yield Whole(
                    *(spec, engine, f"http://{exporter}/metrics", services, urls),
                    *(prometheus, alertmanager, pagerduty, time.time()),
                )


async def ask(
    client: httpx.AsyncClient, engine: real_engine.Engine, tokens: int, patience: float | None = None
) -> float:
    """Stream one completion of exactly `tokens` tokens; returns its seconds. With `patience` the client leaves after it."""
    begin = time.monotonic()
    body = {"model": engine.model, "prompt": "load line", "max_tokens": tokens, "ignore_eos": True, "stream": True}
    try:
        async with (
            asyncio.timeout(patience),
            client.stream("POST", f"{engine.url}/v1/completions", json=body) as answer,
        ):
            assert answer.status_code == 200
            chunks = [line async for line in answer.aiter_lines() if line.startswith("data: {")]
            assert len(chunks) >= 1
    except TimeoutError:
        assert patience is not None
    return time.monotonic() - begin


def new_client() -> httpx.AsyncClient:
    """A client that opens a connection per request: a persistent one may be closed by the server just as it is used again."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(timeout=600, trust_env=False, limits=limits)


def page(url: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """A metrics page as {(sample name, labels): value}."""
    text = httpx.get(url, timeout=60, trust_env=False).raise_for_status().text
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def total(values: dict[tuple[str, frozenset[tuple[str, str]]], float], name: str, **labels: str) -> int:
    """Sum of a sample over all label sets that have these labels."""
    found = [
        value for (sample, have), value in values.items() if sample == name and labels.items() <= dict(have).items()
    ]
    assert found, f"{name}{labels} is not on the page"
    return round(sum(found))
